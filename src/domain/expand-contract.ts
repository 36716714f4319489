/**
 * Expand, migrate, contract: a migration in phases that are run one after the other, with time in between for the
 * application. Each is a run of its own, under the migration's id with the name of the phase (`…-unify.contract`), and
 * depends on the one before it; so a rollback goes back phase by phase, too.
 */
import { broken, describe } from './author-checks.js';
import type { AnyStep, MigrationDefinition } from './migration.js';
import { isReferences, isSchemaStep, requireSteps } from './step-order.js';

export const MIGRATION_PHASES = ['expand', 'migrate', 'contract'] as const;

export type MigrationPhase = (typeof MIGRATION_PHASES)[number];

/** The id of a phase's run. */
export const phaseId = (migration: string, phase: MigrationPhase): string => `${migration}.${phase}`;

/** An id of a phase, taken apart; null for any other. */
export function splitPhaseId(id: string): { readonly migration: string; readonly phase: MigrationPhase } | null {
  const phase = MIGRATION_PHASES.find((one) => id.endsWith(`.${one}`));
  return phase ? { migration: id.slice(0, -phase.length - 1), phase } : null;
}

/** Phases in their order, beside each other. */
export function byPhase(a: string, b: string): number {
  const [one, other] = [a, b].map((id) => splitPhaseId(id) ?? { migration: id, phase: 'migrate' as const });
  if (!one || !other) return 0;
  if (one.migration !== other.migration) return one.migration < other.migration ? -1 : 1;
  return MIGRATION_PHASES.indexOf(one.phase) - MIGRATION_PHASES.indexOf(other.phase);
}

/** The phases that a migration declares, in their order; none for one that is run as a whole. */
export function phasesDeclared({
  expand,
  contract,
}: Pick<MigrationDefinition, 'expand' | 'contract'>): readonly MigrationPhase[] {
  if (!expand && !contract) return [];
  const given = { expand, migrate: true, contract };
  return MIGRATION_PHASES.filter((phase) => given[phase] !== undefined);
}

export const stepsOfPhase = (
  { expand = [], steps, contract = [] }: MigrationDefinition,
  phase: MigrationPhase,
): readonly AnyStep[] => ({ expand, migrate: steps, contract })[phase];

const ADDING = new Set(['createCollection', 'createIndex', 'setValidator']);

/** What an expansion may not do: the application of before knows nothing of it. Undefined: it may. */
function unfit(step: AnyStep): string | undefined {
  if (isSchemaStep(step)) return ADDING.has(step.operation.kind) ? undefined : `schema.${step.operation.kind}()`;
  if (step.kind === 'merge' || step.kind === 'script') return `${step.kind}()`;
  if (isReferences(step)) return 'references()';
  if (step.drops.length > 0) return `${step.kind}() that drops "${step.drops[0]}"`;
  return step.kind === 'pipeline' && step.update.some((stage) => '$unset' in stage)
    ? 'pipeline() with $unset'
    : undefined;
}

/** @throws GodwitError GODWIT_MIGRATION_BROKEN */
export function requirePhases(definition: MigrationDefinition): void {
  const { expand, steps, contract } = definition;
  for (const [name, given] of Object.entries({ expand, contract })) {
    if (given === undefined) continue;
    if (!Array.isArray(given) || given.length === 0)
      throw broken(`at least one step in \`${name}\`, or no \`${name}\``, describe(given));
    requireSteps(given);
  }
  const wrong = (expand ?? []).flatMap((step) => unfit(step) ?? []).at(0);
  if (wrong !== undefined)
    throw broken('steps in `expand` that only add (new collections, indexes, validators, fields)', wrong);
  const remover = contract && steps.find((step) => step.kind === 'merge' && step.legacy === 'remove');
  if (remover)
    throw broken(
      'merge() that keeps or marks its sources in `steps` of a migration with `contract`, where they may go (schema.dropCollection)',
      "source: 'remove'",
    );
}
