/** Draws that a seed repeats. */
import { randomFrom } from '../support/crash.js';

export interface Dice {
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  chance(share: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** One of the names, by its weight; only among `allowed` when that is given. Weights need not sum up to anything. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>, allowed?: readonly Name[]): Name;
}

export function diceFrom(seed: number): Dice {
  // Neighbouring seeds begin alike: the first draws are thrown away.
  const next = randomFrom(Math.imul(seed + 1, 0x9e3779b1));
  for (let count = 0; count < 4; count += 1) next();
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    int,
    chance: (share) => next() < share,
    pick: <T>(items: readonly T[]): T => items[int(0, items.length - 1)] as T,
    weighted: (weights, allowed) => {
      const names = allowed ?? (Object.keys(weights) as (keyof typeof weights)[]);
      let left = next() * names.reduce((sum, name) => sum + weights[name], 0);
      for (const name of names) {
        left -= weights[name];
        if (left < 0) return name;
      }
      const [first] = names;
      if (first === undefined) throw new Error('wanted something to choose from');
      return first;
    },
  };
}
