/** Thrown when a statement met another number of documents than it was given: the transaction must not commit. */
export class CountMismatch extends Error {
  constructor(wanted: number, found: number) {
    super(`wanted ${wanted} documents matched, found ${found}`);
    this.name = 'CountMismatch';
  }
}
