import { isBlank } from './blank.js';

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const ISO = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?(Z|[+-]\d{2}:\d{2})?)?$/;
const DAY_FIRST = /^(\d{1,2})\/(\d{1,2})\/(\d{4})$/;
const IN_WORDS = /^([A-Za-z]{3}) (\d{1,2}), (\d{4})$/;

/** Below it, a number counts seconds since 1970 (until the year 5138); from it on, milliseconds (since 1973). */
const FIRST_MILLISECONDS = 1e11;

/**
 * The moment meant, in UTC where no zone is given. `null`: there is none; `undefined`: not a date we know.
 *
 * Never `new Date(text)` or `Date.parse`: what they make of most of these formats depends on the machine's time zone.
 */
export function toDate(value: unknown): Date | null | undefined {
  if (value instanceof Date) return value;
  if (isBlank(value)) return null;
  if (typeof value === 'number') return fromNumber(value);
  if (typeof value === 'string') return fromText(value.trim());
  return undefined;
}

function fromNumber(number: number): Date | undefined {
  if (!(number > 0)) return undefined;
  return new Date(number < FIRST_MILLISECONDS ? number * 1000 : number);
}

function fromText(text: string): Date | undefined {
  if (/^\d{9,13}$/.test(text)) return fromNumber(Number(text));
  const iso = ISO.exec(text);
  if (iso) return fromIso(iso);
  // Our forms are Portuguese: the day comes first.
  const [, day, month, year] = DAY_FIRST.exec(text) ?? [];
  if (day) return calendarDay(Number(year), Number(month), Number(day));
  const [, name = '', dayInWords, yearInWords] = IN_WORDS.exec(text) ?? [];
  return calendarDay(Number(yearInWords), MONTHS.indexOf(name.toLowerCase()) + 1, Number(dayInWords));
}

function fromIso(parts: RegExpExecArray): Date | undefined {
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = parts;
  const midnight = calendarDay(Number(year), Number(month), Number(day));
  if (!midnight || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const sinceMidnight = ((Number(hour) * 60 + Number(minute)) * 60 + Number(second)) * 1000;
  const milliseconds = Number(fraction.padEnd(3, '0'));
  return new Date(midnight.getTime() + sinceMidnight + milliseconds - offsetOf(zone));
}

function offsetOf(zone: string): number {
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000;
}

/** Midnight in UTC; `undefined` for a day that no calendar has, such as 31 February. */
function calendarDay(year: number, month: number, day: number): Date | undefined {
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date : undefined;
}
