/** What a dry run tells beside its figures: what could not be checked, and what will be slow. */
import type { StepLookup } from '../domain/migration.js';
import { looksUp } from '../domain/series-step.js';
import type { LoadedMigration } from '../migration/load.js';
import type { StepAnalysis } from '../report/dry-run.js';
import type { Session } from './session.js';

export async function warningsOf(session: Session, loaded: LoadedMigration): Promise<string[]> {
  const warnings: string[] = [];
  for (const step of loaded.units)
    for (const { from, foreignField, merged } of Object.values<StepLookup>(step.lookup)) {
      if (foreignField === '_id' || merged !== undefined) continue;
      const indexes = await session.db
        .collection(from)
        .indexes()
        .catch(() => []);
      const isIndexed = indexes.some((index) => Object.keys(index.key as object)[0] === foreignField);
      if (!isIndexed)
        warnings.push(`lookup: ${from}.${foreignField} has no index, so each batch reads the whole collection`);
    }
  return warnings;
}

export function notCheckedOf(steps: readonly StepAnalysis[]): string[] {
  return steps.flatMap(({ step, collisions, isValidatorUnknown }, at) => [
    ...collisions.unchecked.map(
      (index) =>
        `unique index ${step.collection}.${index}: partial, collated or over arrays, so collisions show only in the run`,
    ),
    ...steps
      .slice(0, at)
      .filter((earlier) => looksUp(step, earlier.step.collection))
      .map(
        (earlier) =>
          `what ${step.collection} looks up in ${earlier.step.collection}: an earlier step changes that, and here it was as it is now`,
      ),
    ...(isValidatorUnknown ? [`validator of ${step.collection}: this server cannot be asked without writing`] : []),
  ]);
}
