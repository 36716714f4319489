/** Hunts a mutant: plays schedules against a build with the damage until one of them fails that holds without it. */
import { buildMutant } from './build-mutant.js';
import type { Crew } from './crew.js';
import { drawSchedule } from './draw.js';
import { drawMerge } from './merge/schedule.js';
import type { Mutant } from './mutants.js';
import type { Violation } from './stage.js';

export interface Ground {
  readonly crew: Crew;
  /** Of the first schedules; behind them come those that follow the last. */
  readonly seeds: readonly number[];
  /** Schedules within which it must be caught. */
  readonly limit: number;
  /** The command without the damage. */
  readonly healthy: string;
}

export interface Caught {
  /** Of the schedule that failed. */
  readonly seed: number;
  readonly violation: string;
  /** The same schedule holds without the damage; else it is the schedule that is wrong. */
  readonly isFair: boolean;
}

export interface Hunt {
  /** Schedules that were played until it was caught, or all of them. */
  readonly count: number;
  readonly caught: Caught | undefined;
}

interface Failed {
  readonly seed: number;
  readonly violation: string;
}

const told = ({ invariant, expected, found }: Violation): string =>
  `${invariant} wanted ${expected.slice(0, 120)}, found ${found.slice(0, 120)}`;

/** @param onPlayed with what broke first; true: no further ones */
function playSeeds(
  crew: Crew,
  { focus, isOfMerges }: Mutant,
  seeds: readonly number[],
  main: string,
  onPlayed: (seed: number, violation: string | undefined) => boolean,
): Promise<void> {
  if (isOfMerges)
    return crew.playMerges(seeds.map(drawMerge), main, ({ schedule, violations: [first] }) =>
      onPlayed(schedule.seed, first?.slice(0, 240)),
    );
  const schedules = seeds.map((seed) => drawSchedule(seed, focus));
  return crew.play(schedules, main, ({ schedule, violations: [first] }) =>
    onPlayed(schedule.seed, first && told(first)),
  );
}

const following = (seed: number, count: number): number[] =>
  Array.from({ length: Math.max(0, count) }, (_, index) => seed + 1 + index);

/** The first of these seeds is played by itself, beside its control: it is the one that is known to catch. */
export async function hunt(mutant: Mutant, { crew, seeds, limit, healthy }: Ground): Promise<Hunt> {
  await using build = await buildMutant(mutant);
  let count = 0;
  let failed: Failed | undefined;
  const failing = (seeds: readonly number[]): Promise<void> =>
    playSeeds(crew, mutant, seeds, build.main, (own, violation) => {
      if (!failed) count += 1;
      if (violation !== undefined) failed ??= { seed: own, violation };
      return failed !== undefined;
    });
  const holds = async (own: number): Promise<boolean> => {
    let isHeld = false;
    await playSeeds(crew, mutant, [own], healthy, (_, violation) => {
      isHeld = violation === undefined;
      return true;
    });
    return isHeld;
  };
  const [first = 1, ...others] = seeds;
  const [firstHolds] = await Promise.all([holds(first), failing([first])]);
  if (!failed) await failing([...others, ...following(seeds.at(-1) ?? first, limit - seeds.length)]);
  // Set in a callback, which the compiler does not see.
  const by = failed as Failed | undefined;
  if (!by) return { count, caught: undefined };
  return { count, caught: { ...by, isFair: by.seed === first ? firstHolds : await holds(by.seed) } };
}
