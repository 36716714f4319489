/** What is kept of a failing schedule, and what a campaign has covered. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FAULT_POINTS } from '../../src/engine/fault-points.js';
import type { Played } from './play.js';
import type { Shrunk } from './shrink.js';

/** Violations in the summary, at most. */
const TOLD = 10;

/** Writes the folder of a failure. @returns its path */
export async function writeFailure(folder: string, original: Played, shrunk: Shrunk | null): Promise<string> {
  const { schedule, violations, timeline } = shrunk?.played ?? original;
  const path = join(folder, `seed-${original.schedule.seed}`);
  await mkdir(path, { recursive: true });
  const replay = join(path, 'schedule.json');
  await writeFile(replay, `${JSON.stringify(schedule, null, 2)}\n`);
  await writeFile(join(path, 'original.json'), `${JSON.stringify(original.schedule, null, 2)}\n`);
  const told = violations
    .slice(0, TOLD)
    .map(({ invariant, expected, found }) => [`${invariant}`, `  expected  ${expected}`, `  found     ${found}`]);
  const text = [
    `seed ${original.schedule.seed}${shrunk ? (shrunk.isSteady ? ', steady' : ', flaky') : ', not shrunk'}`,
    `again: npm run campaign -- --replay ${replay}`,
    '',
    ...told.flat(),
    ...(violations.length > TOLD ? [`and ${violations.length - TOLD} more`] : []),
    '',
    ...timeline,
  ];
  await writeFile(join(path, 'report.txt'), `${text.join('\n')}\n`);
  return path;
}

/** How often each point met each action. */
export class Coverage {
  readonly #hits = new Map<string, number>();

  add({ hits }: Played): void {
    for (const hit of hits) this.#hits.set(hit, (this.#hits.get(hit) ?? 0) + 1);
  }

  /** Points that no fault has hit. */
  get missed(): readonly string[] {
    return FAULT_POINTS.filter((point) => ![...this.#hits.keys()].some((hit) => hit.startsWith(`${point} ×`)));
  }

  lines(): string[] {
    return [...FAULT_POINTS, 'any time'].map((point) => {
      const own = [...this.#hits].filter(([hit]) => hit.startsWith(`${point} ×`));
      const actions = own.map(([hit, count]) => `${hit.slice(point.length + 3)} ${count}`).sort();
      return `  ${point.padEnd(26)} ${actions.join(', ') || 'never hit'}`;
    });
  }
}
