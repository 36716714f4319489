/** The maintenance window: when the batches of a run may be written. Times are what a clock in its zone shows. */
import { DateTime, IANAZone } from 'luxon';

export interface Window {
  /** IANA name: `Europe/Lisbon`. */
  readonly zone: string;
  readonly start: string;
  readonly end: string;
}

export const isZone = (zone: string): boolean => IANAZone.isValidZone(zone);

/** A date with a time, without an offset of its own. */
export const isMoment = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$/.test(text) && DateTime.fromISO(text).isValid;

const at = ({ zone }: Window, text: string): DateTime => DateTime.fromISO(text, { zone });

export const isForwards = (window: Window): boolean => at(window, window.start) < at(window, window.end);

/** A moment as people near the window read it: `2026-12-01 05:00 Europe/Lisbon`. */
export const shown = ({ zone }: Window, text: string): string => `${text.replace('T', ' ')} ${zone}`;

/** Where `now` (of the server's clock) lies. */
export function phaseOf(window: Window, now: Date): 'before' | 'open' | 'closed' {
  if (now < at(window, window.start).toJSDate()) return 'before';
  return now < at(window, window.end).toJSDate() ? 'open' : 'closed';
}
