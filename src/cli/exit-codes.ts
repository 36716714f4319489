/** The command's exit codes: the contract of cli.md. Errors carry theirs (errors.ts). */
export const EXIT = {
  /** Done, and checked. */
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  /** Finished, but documents failed, would fail, conflicted or have no way back. */
  withFailures: 4,
  leaseHeld: 5,
  /** `verify`, `doctor` found something. */
  found: 6,
  stopped: 7,
  interrupted: 130,
} as const;

/** A run or a rollback that rests before its end: interrupted by Ctrl-C, or stopped on request. */
export const restingExit = (state: string): number => (state === 'interrupted' ? EXIT.interrupted : EXIT.stopped);
