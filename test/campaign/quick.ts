/** Restricts the draw to schedules that take seconds: the long campaign has the large ones. */
import type { Focus } from './draw.js';

export const QUICK_FAULTS = [
  'kill',
  'stop',
  'signal',
  'throw',
  'fail-command',
  'state',
  'second',
  'rollback',
  'ddl',
] as const;

export const QUICK: Focus = { maxDocs: 120, maxFaults: 2, faults: QUICK_FAULTS };
