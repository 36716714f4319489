/** A process whose clock is wrong: its `Date` is set off by a module that is loaded before everything else. */
const source = (offsetMs: number, jumpAfterMs: number): string => `
const Real = Date;
const began = performance.now();
const offset = () => (performance.now() - began >= ${jumpAfterMs} ? ${offsetMs} : 0);
globalThis.Date = class Date extends Real {
  constructor(...given) { if (given.length > 0) super(...given); else super(Real.now() + offset()); }
  static now() { return Real.now() + offset(); }
};`;

/**
 * The environment of such a process.
 *
 * @param jumpAfterMs the clock is right for so long, and then jumps
 */
export const wrongClock = (offsetMs: number, jumpAfterMs = 0): NodeJS.ProcessEnv => ({
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(source(offsetMs, jumpAfterMs))}`,
});
