import type { Chunk, Cursor } from '../domain/chunk.js';

/** Where a resumed run goes on: the cursor of the first chunk, in `_id` order, that is not done. Null at either end. */
export function resumeCursor(chunks: readonly Chunk[]): Cursor | null {
  const open = chunks.find(({ kind, state }) => kind === 'range' && state === 'open');
  if (!open) return null;
  return open.cursor ?? (open.range && 'lower' in open.range ? { id: open.range.lower } : null);
}
