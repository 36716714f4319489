/** Times for people: local, always with their offset. */
import { DateTime } from 'luxon';

export const formatTime = (at: Date | string): string =>
  (typeof at === 'string' ? DateTime.fromISO(at) : DateTime.fromJSDate(at)).toFormat('yyyy-MM-dd HH:mm:ss ZZ');

/** The time of day of something that is near. */
export const formatClock = (at: Date): string => DateTime.fromJSDate(at).toFormat('HH:mm:ss');
export const formatOffset = (at: Date): string => DateTime.fromJSDate(at).toFormat('ZZ');
