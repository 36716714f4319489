import { InvalidArgumentError } from 'commander';

/** A whole number that is not negative. */
export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('wanted a whole number');
  return Number(text);
}
