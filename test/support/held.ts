/**
 * Runs of this process that are held at a named point, as many at once as a test likes: which of them comes by is told by
 * the async context that it was called in. Their timers and connections live meanwhile, and no sentinel watches them: where
 * that matters it is a process, stopped (SIGSTOP).
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach } from 'vitest';
import { onFaultPoint } from '../../src/engine/fault-points.js';
import { type Call, type CommandOptions, type CommandResult, callCommand } from './command.js';
import { until } from './crash.js';

export interface Held extends Call {
  /** True once it has come to its point. */
  isHeld(): boolean;
  /** Lets it go on. @returns how it ended */
  release(): Promise<CommandResult>;
}

/** What is done at each point by the run that comes by; of one that is not held there is nothing. */
const context = new AsyncLocalStorage<(point: string) => Promise<void>>();
const living = new Set<Held>();

// What a failed test still holds.
afterEach(async () => {
  for (const held of living) {
    held.signal('SIGTERM');
    await held.release();
  }
});

/**
 * Begins a command that will be held.
 *
 * @param at `point:hit`
 */
export function beginHeld(at: string, args: readonly string[], options: CommandOptions): Held {
  const [room, name, nth] = at.split(':');
  let hits = 0;
  let isHeld = false;
  let open: () => void = () => undefined;
  const opened = new Promise<void>((done) => {
    open = done;
  });
  const hear = async (point: string): Promise<void> => {
    if (point !== `${room}:${name}`) return;
    hits += 1;
    if (hits !== Number(nth)) return;
    isHeld = true;
    await opened;
  };
  onFaultPoint(async (point) => context.getStore()?.(point));
  const call = context.run(hear, () => callCommand(args, options));
  const held: Held = {
    ...call,
    isHeld: () => isHeld,
    release() {
      open();
      return call.end;
    },
  };
  living.add(held);
  const forget = (): boolean => living.delete(held);
  call.end.then(forget, forget);
  return held;
}

/** Runs a command until it comes to the point for the nth time. Throws when it ends before. */
export async function holdAt(at: string, args: readonly string[], options: CommandOptions): Promise<Held> {
  const held = beginHeld(at, args, options);
  let ended: CommandResult | undefined;
  void held.end.then((result) => {
    ended = result;
  });
  await until(() => held.isHeld() || ended !== undefined, 60_000);
  if (!held.isHeld()) throw new Error(`wanted it to come to ${at}, it ended: ${ended?.stdout}${ended?.stderr}`);
  return held;
}
