/** How far the chunks of a run are, on a terminal: those that are begun one by one, the others counted. */
import { formatCount } from '../../kernel/units.js';
import type { ChunkView } from '../../verbs/chunks.js';

/** Chunks that are shown: no run has more workers without being asked. */
const SHOWN = 8;

const isBegun = ({ state }: ChunkView): boolean => state === 'begun' || state === 'undoing';

/** `37 of 100 done, 3 begun`; of a rollback what is taken back. */
function counted(chunks: readonly ChunkView[]): string {
  const count = (...states: ChunkView['state'][]): number =>
    chunks.filter(({ state }) => states.includes(state)).length;
  const isBack = count('undoing', 'undone') > 0;
  const [done, what] = isBack ? [count('undone'), 'taken back'] : [count('done'), 'done'];
  const begun = chunks.filter(isBegun).length;
  return `${formatCount(done)} of ${formatCount(chunks.length)} ${what}${begun > 0 ? `, ${begun} begun` : ''}`;
}

function lineOf({ state, collection, n, scanned, estimate, batches }: ChunkView): string {
  const percent = Math.min(99, Math.floor((100 * scanned) / Math.max(1, estimate)));
  const far = `${percent} % of about ${formatCount(estimate)} documents, ${formatCount(batches)} batches`;
  return `${collection} ${n}: ${state === 'undoing' ? 'is taken back' : far}`;
}

/** Lines of `status` with their names; none where there is but one chunk. */
export function chunkLines(chunks: readonly ChunkView[] | null): [string, string][] {
  if (chunks === null || chunks.length < 2) return [];
  const begun = chunks.filter(isBegun);
  const more = begun.length - SHOWN;
  return [
    ['chunks', counted(chunks)],
    ...begun.slice(0, SHOWN).map((chunk): [string, string] => ['', lineOf(chunk)]),
    ...(more > 0 ? ([['', `and ${formatCount(more)} more`]] as [string, string][]) : []),
  ];
}
