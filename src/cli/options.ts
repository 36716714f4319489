import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../kernel/units.js';

/** A whole number that is not negative. */
export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('wanted a whole number');
  return Number(text);
}

/** A whole number of 1 or more. */
export function countingNumber(text: string): number {
  const value = wholeNumber(text);
  if (value < 1) throw new InvalidArgumentError('wanted 1 or more');
  return value;
}

/** Milliseconds of a duration with its unit. */
export function durationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('wanted a duration like 30d or 12h');
  return ms;
}
