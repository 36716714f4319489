/** What is said of schema steps on a terminal. */
import type { SchemaView } from '../../verbs/schema.js';
import { wrap } from '../output/layout.js';
import type { DryRunView } from './dry-run.js';

const SIGNS = { 'would be done': '+', there: '=', later: '?', refused: 'x' } as const;
const MEANT = {
  'would be done': '',
  there: ' (is so already)',
  later: ' (steps before it decide)',
  refused: '',
} as const;

/** Those of a dry run. */
export function schemaSteps({ report, paint, columns, clear }: DryRunView): string[] {
  const lines = report.schema.flatMap(({ text, verdict, refusal, warnings, missingRights, first }) => {
    const rights = missingRights.length > 0 ? [`    x rights that are missing: ${missingRights.join(', ')}`] : [];
    const found = [
      ...(refusal === null ? [] : [`    x ${refusal}`]),
      ...rights,
      ...warnings.map((one) => `    ! ${one}`),
    ];
    const ids = first.length > 0 ? [`      first _ids ${first.map((id) => id.text(clear)).join(', ')}`] : [];
    return [`  ${SIGNS[verdict]} ${text}${MEANT[verdict]}`, ...found, ...ids].flatMap((line) =>
      wrap(line, columns, '      '),
    );
  });
  return lines.length === 0 ? [] : [paint('bold', 'schema'), ...lines];
}

const STATES: Readonly<Record<SchemaView['state'], string>> = {
  open: 'not yet',
  begun: 'begun',
  done: 'done',
  there: 'was so already',
  undoing: 'is taken back',
  undone: 'taken back',
};

/** Those of a run, each with how far it is. */
export const schemaStates = (schema: readonly SchemaView[], columns: number): string[] =>
  schema.flatMap(({ text, state, left }) =>
    wrap(`  ${left === null ? STATES[state] : `LEFT: ${left}`}   ${text}`, columns, '      '),
  );
