/** Schedules of merges, some at once: played for themselves, or against a mutant. */
import { CampaignServer } from '../server.js';
import { type PlayedMerge, playMerge } from './play.js';
import { drawMerge, type MergeSchedule } from './schedule.js';

export interface Place {
  /** Of the first schedule. */
  readonly seed: number;
  readonly jobs: number;
  /** The command under test. */
  readonly main: string;
}

/** @param onPlayed true: no further ones */
async function playAll(
  count: number,
  { seed, jobs, main }: Place,
  onPlayed: (played: PlayedMerge) => boolean,
): Promise<void> {
  const queue = Array.from({ length: count }, (_, index) => drawMerge(seed + index));
  let isEnough = false;
  const work = async (): Promise<void> => {
    const server = await CampaignServer.start('one-node');
    try {
      for (let schedule = queue.shift(); schedule && !isEnough; schedule = queue.shift())
        if (onPlayed(await playMerge(schedule, { server, main }))) isEnough = true;
    } finally {
      await server.stop();
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
}

/** @returns true when all of them held */
export async function runMerges(count: number, place: Place): Promise<boolean> {
  let failed = 0;
  await playAll(count, place, ({ schedule, violations, timeline, seconds }) => {
    console.log(`merge ${schedule.seed}  ${seconds.toFixed(1)} s  ${violations.length === 0 ? 'held' : 'FAILED'}`);
    if (violations.length > 0) {
      failed += 1;
      console.log([...violations.slice(0, 10), ...timeline, ''].join('\n'));
    }
    return false;
  });
  console.log(`${count} schedules of merges, ${failed} failed`);
  return failed === 0;
}

async function holdsWithout({ seed }: MergeSchedule, main: string): Promise<boolean> {
  let isHeld = false;
  await playAll(1, { seed, jobs: 1, main }, ({ violations }) => {
    isHeld = violations.length === 0;
    return true;
  });
  return isHeld;
}

/** @returns true when the mutant was caught, by a schedule that holds on `healthy` */
export async function huntMerges(name: string, limit: number, place: Place, healthy: string): Promise<boolean> {
  let count = 0;
  let by: PlayedMerge | undefined;
  await playAll(limit, place, (played) => {
    if (!by) count += 1;
    if (played.violations.length > 0) by ??= played;
    return by !== undefined;
  });
  const title = name.padEnd(24);
  if (!by) {
    console.log(`${title} NOT caught in ${count} schedules of merges`);
    return false;
  }
  const isFair = await holdsWithout(by.schedule, healthy);
  const what = isFair ? 'caught' : 'FAILS WITHOUT DAMAGE, TOO';
  console.log(
    `${title} ${what}: schedule ${count} of merges, seed ${by.schedule.seed}: ${by.violations[0]?.slice(0, 200)}`,
  );
  return isFair;
}
