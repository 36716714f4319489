/** Progress where there is no terminal: one line of `key=value`, to be searched with grep. */
import { DateTime } from 'luxon';
import type { ProgressView } from './progress-view.js';

function eta(view: ProgressView, now: DateTime): string {
  if (view.following)
    return `when-stopped lag=${Math.round(view.following.lagMs)}ms caught-up=${view.following.caughtUp}`;
  const { end } = view;
  if ('unknown' in end) return 'unknown';
  const clock = (seconds: number): string => now.plus({ seconds }).toFormat('HH:mm:ss');
  return `${clock(end.low)}..${clock(end.high)}`;
}

export function plainLine(view: ProgressView, at: Date): string {
  const now = DateTime.fromJSDate(at);
  const percent = view.share === 1 ? '100%' : `${(Math.floor(view.share * 1_000) / 10).toFixed(1)}%`;
  const rate = view.recentRate === null ? '' : ` rate=${Math.round(view.recentRate)}/s`;
  const failed = view.counters ? ` failed=${view.counters.failed}` : '';
  return `${now.toFormat('HH:mm:ssZZ')} ${view.state} ${percent} ${view.done}/${view.total}${rate} eta=${eta(view, now)}${failed}`;
}
