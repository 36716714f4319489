/** Requests in the run's document. They are written by whoever asks, without the lease; the answers by its holder. */
import type { Document } from 'mongodb';
import { type Control, NO_CONTROL, type Pace, type SignalOff, type Stall, type Throttle } from '../domain/control.js';
import { type State, underLease } from './state.js';

/** What is asked of the run by now; nothing where the run is gone. */
export async function readControl(state: State, run: string): Promise<Control> {
  const found = await state.runs.findOne({ _id: run }, { projection: { control: 1 } });
  return { ...NO_CONTROL, ...found?.control };
}

/** What a request changes: `null` takes one back. Its time is the server's. */
export interface Asked {
  readonly what: 'pause' | 'stop' | 'pace';
  readonly by: string;
  readonly because: string | null;
  readonly pace?: Pace;
  readonly isTakenBack?: boolean;
}

/** @returns the requests as they stand, or null when the run is gone */
export async function ask(state: State, run: string, asked: Asked): Promise<Control | null> {
  const { what, by, because, pace, isTakenBack } = asked;
  const request = { ...pace, by: { $literal: by }, because: { $literal: because }, at: '$$NOW' };
  const set: Document = {
    [`control.${what}`]: isTakenBack ? null : request,
    'control.requestedAt': '$$NOW',
    'control.acknowledgedAt': null,
    'control.doneAt': null,
  };
  const after = await state.runs.findOneAndUpdate({ _id: run }, [{ $set: set }], { returnDocument: 'after' });
  return after && { ...NO_CONTROL, ...after.control };
}

/** The runner's answer to the request of this moment: a later one is not answered with it. */
export async function answer(
  state: State,
  run: string,
  fence: string,
  requestedAt: Date,
  moment: 'acknowledgedAt' | 'doneAt',
): Promise<void> {
  await state.runs.updateOne(underLease(run, fence, { 'control.requestedAt': requestedAt }), [
    { $set: { [`control.${moment}`]: '$$NOW' } },
  ]);
}

/** Signals that are not looked at, with what they need. */
export async function storeSignalsOff(
  state: State,
  run: string,
  fence: string,
  signalsOff: readonly SignalOff[],
): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: { signalsOff } } as Document);
}

/** Since when no batch has been committed, and why; null: batches go through. */
export async function storeStall(state: State, run: string, fence: string, stalled: Stall | null): Promise<void> {
  await state.runs.updateOne(underLease(run, fence), { $set: { stalled } } as Document);
}

/** Why the run waits now, and for how long it has waited for each reason since that was last stored, in ms. */
export async function storeThrottles(
  state: State,
  run: string,
  fence: string,
  throttled: readonly Throttle[],
  waitedMs: Readonly<Record<string, number>>,
): Promise<void> {
  const more = Object.fromEntries(
    Object.entries(waitedMs).map(([reason, ms]) => [`throttledMs.${reason}`, Math.round(ms)]),
  );
  await state.runs.updateOne(underLease(run, fence), { $set: { throttled }, $inc: more } as Document);
}
