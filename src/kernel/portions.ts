/** Items in portions that a message can hold: each below `maxBytes`, but for one that is larger by itself. */
export function* portions<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  maxBytes: number,
): Generator<readonly T[]> {
  let portion: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = bytesOf(item);
    if (portion.length > 0 && bytes + size > maxBytes) {
      yield portion;
      portion = [];
      bytes = 0;
    }
    portion.push(item);
    bytes += size;
  }
  if (portion.length > 0) yield portion;
}
