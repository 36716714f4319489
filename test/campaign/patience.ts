/** Limits of time are those of a quick machine with nothing else to do; a slow or busy one multiplies them. */
let factor = 1;

/** `--patience N`. */
export function setPatience(times: number): void {
  factor = times;
}

/** The limit in ms, as it holds here. */
export const patient = (ms: number): number => ms * factor;
