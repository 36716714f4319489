/**
 * The signals that may keep a batch from beginning. One that is not permitted when the run begins is off, and listed with
 * what it needs; one that could be read and cannot any more is itself a reason to wait: nobody drives on with a blind eye.
 */
import type { MongoClient } from 'mongodb';
import type { Throttle } from '../domain/control.js';
import { phaseOf, shown, type Window } from '../domain/window.js';
import { GodwitError } from '../errors.js';
import { type Fact, type OplogWindow, readOplogWindow, readServerTime } from '../mongo/server-facts.js';
import { lagReader, readServerLoad, type ServerLoad } from '../mongo/signals.js';

/** Share of its size from which on an oplog counts as full. */
const FULL = 0.9;
/** How long one reading may take, in ms. */
const READ_MS = 5_000;

export interface ThrottleSettings {
  /** How far a secondary may be behind, in ms; 0: not looked at. */
  readonly maxLagMs: number;
  /** Operations in the server's queue; 0: not looked at. */
  readonly maxQueue: number;
  /** Connections that are taken, of all that the server would accept, in percent; 0: not looked at. */
  readonly maxConnectionsPercent: number;
  /** Median of the last commits, in ms; 0: not looked at. */
  readonly maxCommitMs: number;
  /** How far a full oplog must reach back, in ms; 0: not looked at. */
  readonly minOplogMs: number;
  /** Address that answers with 2xx while all is well; null: none. */
  readonly probe: string | null;
  /** True: wait. */
  readonly when: (() => boolean | Promise<boolean>) | null;
}

/** What a signal says: nothing against the next batch, or by how much it is over. */
export type Reading = Pick<Throttle, 'measured' | 'limit' | 'unit' | 'node'> | null;

export interface Signal {
  readonly name: string;
  read(): Promise<Fact<Reading>>;
}

const fine = { known: true, value: null } as const;
const over = (value: NonNullable<Reading>): Fact<Reading> => ({ known: true, value });

const lag = (read: ReturnType<typeof lagReader>, maxMs: number): Signal => ({
  name: 'replica lag',
  read: async () => {
    const fact = await read();
    if (!fact.known) return fact;
    if (!fact.value || fact.value.ms <= maxMs) return fine;
    return over({ measured: fact.value.ms / 1_000, limit: maxMs / 1_000, unit: 's', node: fact.value.node });
  },
});

/** A reason without figures. @param unit what there is to say instead */
const unmeasured = (unit: string | null): NonNullable<Reading> => ({ measured: null, limit: null, unit, node: null });

type ReadLoad = () => Promise<Fact<ServerLoad>>;

/** Asked by several signals at once, the server is asked once. */
function sharedLoad(client: MongoClient): ReadLoad {
  let underway: Promise<Fact<ServerLoad>> | undefined;
  return () => {
    underway ??= readServerLoad(client).finally(() => {
      underway = undefined;
    });
    return underway;
  };
}

/** @param weigh what the load says against the next batch, if anything */
const ofLoad = (name: string, read: ReadLoad, weigh: (load: ServerLoad) => Reading): Signal => ({
  name,
  read: async () => {
    const fact = await read();
    return fact.known ? { known: true, value: weigh(fact.value) } : fact;
  },
});

const flowControl = (read: ReadLoad): Signal =>
  ofLoad('flow control', read, ({ isFlowControlled }) => (isFlowControlled ? unmeasured(null) : null));

const queue = (read: ReadLoad, limit: number): Signal =>
  ofLoad('server queue', read, ({ queued, node }) =>
    queued > limit ? { measured: queued, limit, unit: 'operations', node } : null,
  );

const connections = (read: ReadLoad, limit: number): Signal =>
  ofLoad('connections', read, ({ connectionsPercent, node }) =>
    connectionsPercent > limit ? { measured: connectionsPercent, limit, unit: '%', node } : null,
  );

/** A full oplog forgets something with every entry; one that is not full yet loses nothing. */
const isFull = ({ bytes, maxBytes }: OplogWindow): boolean => bytes >= FULL * maxBytes;

/**
 * Others read the oplog, too: secondaries, backups, change streams. One that did not reach back so far when the run began
 * may shrink to half of that.
 */
function oplog(client: MongoClient, minMs: number): Signal {
  let least: number | undefined;
  return {
    name: 'oplog window',
    read: async () => {
      const fact = await readOplogWindow(client);
      if (!fact.known) return fact;
      const { hours } = fact.value;
      least ??= Math.min(minMs / 3_600_000, hours / 2);
      if (!isFull(fact.value) || hours >= least) return fine;
      return over({ measured: tenths(hours), limit: tenths(least), unit: 'h', node: null });
    },
  };
}

const tenths = (hours: number): number => Math.round(hours * 10) / 10;

/** Outside of it batches wait; where it has closed, that is the end of this runner. */
const maintenanceWindow = (client: MongoClient, window: Window, stop: (error: GodwitError) => void): Signal => ({
  name: 'window',
  read: async () => {
    const phase = phaseOf(window, await readServerTime(client));
    if (phase === 'open') return fine;
    const unit = phase === 'before' ? `opens ${shown(window, window.start)}` : `closed ${shown(window, window.end)}`;
    if (phase === 'closed')
      stop(
        new GodwitError(
          'GODWIT_STOPPED',
          `stopped: its window closed ${shown(window, window.end)}; the batch under way was finished, the cursor is saved`,
        ),
      );
    return over(unmeasured(unit));
  },
});

const probe = (url: string): Signal => ({
  name: 'probe',
  read: async () => {
    const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(READ_MS) });
    return ok ? fine : over({ measured: status, limit: 299, unit: 'HTTP status', node: url });
  },
});

const own = (when: () => boolean | Promise<boolean>): Signal => ({
  name: 'own function',
  read: async () => ((await when()) ? over(unmeasured(null)) : fine),
});

/** @param stop ends the run at its next batch boundary */
export function signalsFor(
  client: MongoClient,
  settings: ThrottleSettings,
  window: Window | null,
  stop: (error: GodwitError) => void,
): Signal[] {
  const load = sharedLoad(client);
  return [
    ...(window === null ? [] : [maintenanceWindow(client, window, stop)]),
    ...(settings.minOplogMs > 0 ? [oplog(client, settings.minOplogMs)] : []),
    ...(settings.maxLagMs > 0 ? [lag(lagReader(client), settings.maxLagMs), flowControl(load)] : []),
    ...(settings.maxQueue > 0 ? [queue(load, settings.maxQueue)] : []),
    ...(settings.maxConnectionsPercent > 0 ? [connections(load, settings.maxConnectionsPercent)] : []),
    ...(settings.probe === null ? [] : [probe(settings.probe)]),
    ...(settings.when === null ? [] : [own(settings.when)]),
  ];
}

/** One signal over the time of a run. */
export class Watched {
  /** What it needs, when it is off; null while it is on. */
  needs: string | null = null;
  #wasRead = false;

  constructor(private readonly signal: Signal) {}

  get name(): string {
    return this.signal.name;
  }

  /** @returns why the next batch must wait; null: this signal has nothing against it */
  async look(): Promise<Reading> {
    if (this.needs !== null) return null;
    try {
      const fact = await inTime(this.signal.read());
      if (fact.known) {
        this.#wasRead = true;
        return fact.value;
      }
      if (!this.#wasRead) this.needs = fact.needs;
      return this.#wasRead ? unmeasured('no longer permitted') : null;
    } catch {
      return unmeasured('no reading');
    }
  }
}

async function inTime<T>(reading: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no reading in time')), READ_MS);
  });
  // A reading that comes too late is of no use, and its failure no news.
  reading.catch(() => undefined);
  return Promise.race([reading, late]).finally(() => clearTimeout(timer));
}
