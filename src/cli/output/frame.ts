/** The live frame: composed for the rows and columns there are, the most important lines last to go. */
import { formatCount, formatDuration } from '../../kernel/units.js';
import type { Paint } from './io.js';
import { bar, cutEnd, cutMiddle } from './layout.js';
import type { ProgressView } from './progress-view.js';
import { formatClock, formatOffset } from './time.js';

export interface FrameSpace {
  readonly columns: number;
  readonly rows: number;
  readonly paint: Paint;
  readonly now: Date;
}

const STATE_WORDS: Readonly<Record<string, string>> = {
  reading: 'READING',
  'rolling-back': 'ROLLING BACK',
  'catching-up': 'CATCHING UP',
};

export const stateWord = (state: string): string => STATE_WORDS[state] ?? state.toUpperCase();

function stateLine(view: ProgressView, { columns, paint }: FrameSpace): string {
  const percent = `${(Math.floor(view.share * 1_000) / 10).toFixed(1)} %`;
  const counts = `${formatCount(view.done)} / ${formatCount(view.total)}`;
  const word = stateWord(view.state);
  const room = Math.max(0, columns - word.length - percent.length - counts.length - 9);
  const width = Math.min(54, room);
  const drawn = width >= 8 ? `  [${bar(view.share, width)}]` : '';
  return `${paint('run', word)}  ${percent}${drawn}  ${counts}`;
}

function endLine(view: ProgressView, at: Date): string {
  if (view.following)
    return `ends     when stopped: it follows the application, ${formatDuration(view.following.lagMs)} behind, ${formatCount(view.following.caughtUp)} documents caught up`;
  const { end } = view;
  if ('unknown' in end) return `ends     unknown: ${end.unknown}`;
  const now = at.getTime();
  const [low, high] = [new Date(now + end.low * 1_000), new Date(now + end.high * 1_000)];
  return `ends     ${formatClock(low)} to ${formatClock(high)} ${formatOffset(low)} (${formatDuration(end.low * 1_000)} to ${formatDuration(end.high * 1_000)} left)`;
}

const rateText = (rate: number | null): string => (rate === null ? 'measuring' : `${formatCount(Math.round(rate))}/s`);

function countsLine(view: ProgressView, paint: Paint): string {
  if (!view.counters) return 'changed  -';
  const { changed, inserted, deleted, unchanged, skipped, failed } = view.counters;
  const failures = failed > 0 ? `   ${paint('fail', `FAILED ${formatCount(failed)}`)}` : '';
  const more = [
    ...(inserted > 0 ? [`   inserted ${formatCount(inserted)}`] : []),
    ...(deleted > 0 ? [`   removed ${formatCount(deleted)}`] : []),
  ].join('');
  return `changed  ${formatCount(changed)}${more}   unchanged ${formatCount(unchanged + skipped)}${failures}`;
}

/** Lines with their rank: the highest goes first when there is no room. */
export function composeFrame(view: ProgressView, space: FrameSpace): string[] {
  const batch =
    view.batches > 0 ? `   batch ${view.batchDocuments} documents, ${Math.round(view.batchMs)} ms held` : '';
  const { bottleneck } = view;
  // Always the same number of lines: a frame that grows in the middle is not redrawn whole by log-update.
  const lines: { rank: number; text: string }[] = [
    { rank: 1, text: cutMiddle(`${view.where}   ${view.what}`, space.columns - 1) },
    { rank: 0, text: stateLine(view, space) },
    { rank: 2, text: endLine(view, space.now) },
    { rank: 3, text: `rate     ${rateText(view.recentRate)} lately   ${rateText(view.meanRate)} mean${batch}` },
    { rank: 4, text: `limit    ${bottleneck ?? 'still measuring'}` },
    { rank: 5, text: countsLine(view, space.paint) },
    { rank: 6, text: 'keys     Ctrl-C stops after the batch under way; it can be resumed' },
  ];
  const room = Math.max(1, space.rows - 1);
  const kept = new Set([...lines].sort((a, b) => a.rank - b.rank).slice(0, room));
  return lines.filter((line) => kept.has(line)).map(({ text }) => cutEnd(text, space.columns - 1));
}
