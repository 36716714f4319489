/** Schedules of merges, some at once. */
import type { Crew } from '../crew.js';
import { drawMerge } from './schedule.js';

/** @returns true when all of them held */
export async function runMerges(
  crew: Crew,
  count: number,
  { seed, main }: { readonly seed: number; readonly main: string },
): Promise<boolean> {
  const schedules = Array.from({ length: count }, (_, index) => drawMerge(seed + index));
  let failed = 0;
  await crew.playMerges(schedules, main, ({ schedule, violations, timeline, seconds }) => {
    console.log(`merge ${schedule.seed}  ${seconds.toFixed(1)} s  ${violations.length === 0 ? 'held' : 'FAILED'}`);
    if (violations.length === 0) return false;
    failed += 1;
    console.log([...violations.slice(0, 10), ...timeline, ''].join('\n'));
    return false;
  });
  console.log(`${count} schedules of merges, ${failed} failed`);
  return failed === 0;
}
