/**
 * The one event map. Whoever wants to know what happens (terminal, JSON lines, pages, metrics) listens here; nothing
 * calls back into the engine. Names are `room:happened`.
 */
import { EventEmitter } from 'node:events';
import type { Counters, UndoCounters } from './domain/chunk.js';
import type { Phase } from './domain/phases.js';
import type { RunState } from './domain/run.js';

/** Where the time of one batch went, and what it waited before (`throttle`), in ms. */
export type BatchTimes = Readonly<Record<Phase, number>>;

export interface EventMap {
  /** The plan is frozen, or an old one was taken up. */
  'run:planned': [
    { readonly run: string; readonly migration: string; readonly total: number; readonly resumed: boolean },
  ];
  'run:state': [{ readonly run: string; readonly from: RunState; readonly to: RunState; readonly because: string }];
  /** A batch is committed; counters are those of the whole run. */
  'run:batch': [
    {
      readonly run: string;
      readonly counters: Counters;
      readonly total: number;
      readonly batch: Counters;
      readonly times: BatchTimes;
    },
  ];
  'run:undo': [{ readonly run: string; readonly undo: UndoCounters; readonly total: number }];
  /** Verification is under way. */
  'run:verify': [{ readonly run: string; readonly checked: number; readonly total: number }];
  /** A following run has caught up once more: how long that took (ms), and documents caught up with so far. */
  'run:follow': [{ readonly run: string; readonly lagMs: number; readonly caughtUp: number }];
  /** Something a person would want to know: one sentence. */
  'run:note': [{ readonly run: string; readonly note: string }];
  /** Documents looked at by a dry run. */
  'dry-run:progress': [{ readonly migration: string; readonly scanned: number; readonly total: number }];
}

export class Events extends EventEmitter<EventMap> {}
