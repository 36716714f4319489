/** Progress on stderr, in the form that was asked for: a live frame, plain lines, JSON lines, or nothing. */
import { createLogUpdate } from 'log-update';
import type { Events } from '../../events.js';
import { composeFrame } from './frame.js';
import type { Io } from './io.js';
import { plainLine } from './plain.js';
import { ProgressView } from './progress-view.js';

export type ProgressStyle = 'bar' | 'plain' | 'ndjson' | 'none';

const FRAME_MS = 250;
/** Plain lines: dense at the start, sparse later, always on a change of state. */
const PLAIN_MS = [1_000, 5_000, 30_000] as const;

export interface Progress {
  /** Takes the frame away; the report follows. */
  stop(): void;
}

export interface ProgressOptions {
  readonly style: ProgressStyle;
  /** `LOCAL crm on rs0` */
  readonly where: string;
  readonly what: string;
}

function listen(events: Events, view: ProgressView): void {
  events.on('run:planned', (event) => view.planned(event));
  events.on('run:state', (event) => view.stateChanged(event));
  events.on('run:batch', (event) => view.batch(event));
  events.on('run:undo', (event) => view.undone(event));
  events.on('run:verify', (event) => view.verified(event));
  events.on('run:follow', (event) => view.followed(event));
  events.on('dry-run:progress', (event) => view.scanned(event.scanned, event.total));
}

function showFrame(io: Io, events: Events, view: ProgressView): Progress {
  const log = createLogUpdate(io.stderr as NodeJS.WriteStream, { showCursor: true });
  const draw = (): void => {
    const { columns, rows } = io.stderr;
    log(composeFrame(view, { columns: columns ?? 80, rows: rows ?? 24, paint: io.paintErr, now: io.now() }).join('\n'));
  };
  io.frame = { hide: () => log.clear(), draw };
  events.on('run:note', ({ note }) => io.note(note));
  const timer = setInterval(draw, FRAME_MS);
  draw();
  return {
    stop: () => {
      clearInterval(timer);
      io.frame = null;
      log.clear();
    },
  };
}

function showLines(io: Io, events: Events, view: ProgressView): Progress {
  let written = 0;
  let next = performance.now();
  const write = (): void => {
    io.note(plainLine(view, io.now()));
    written += 1;
    next = performance.now() + (PLAIN_MS[written < 10 ? 0 : written < 30 ? 1 : 2] ?? 0);
  };
  const maybe = (): void => {
    if (performance.now() >= next) write();
  };
  events.on('run:state', write);
  events.on('run:note', ({ note }) => io.note(`note=${JSON.stringify(note)}`));
  for (const name of ['run:batch', 'run:undo', 'run:verify', 'run:follow', 'dry-run:progress'] as const)
    events.on(name, maybe);
  const timer = setInterval(maybe, 10_000);
  return { stop: () => clearInterval(timer) };
}

function showJsonLines(io: Io, events: Events): Progress {
  for (const name of [
    'run:planned',
    'run:state',
    'run:batch',
    'run:undo',
    'run:verify',
    'run:follow',
    'run:note',
    'dry-run:progress',
  ] as const)
    events.on(name, (event: object) =>
      io.stderr.write(`${JSON.stringify({ event: name, at: io.now().toISOString(), ...event })}\n`),
    );
  return { stop: () => undefined };
}

/** Shows what the events say until stopped. */
export function showProgress(io: Io, events: Events, options: ProgressOptions): Progress {
  const view = new ProgressView(options.where, options.what);
  if (options.style === 'ndjson') return showJsonLines(io, events);
  if (options.style === 'none' || io.options.quiet) return { stop: () => undefined };
  listen(events, view);
  return options.style === 'bar' ? showFrame(io, events, view) : showLines(io, events, view);
}
