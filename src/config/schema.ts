/** The configuration's shape, checked; every default stands here. docs/reference/config.md is generated from it. */
import * as z from 'zod';
import { isForwards, isMoment, isZone } from '../domain/window.js';
import { parseDuration, parseSize } from '../kernel/units.js';

const withUnit = (parse: (text: string) => number | undefined, example: string) =>
  z.union([z.number().nonnegative(), z.string()]).transform((value, context) => {
    const parsed = typeof value === 'number' ? value : /^\d+(\.\d+)?$/.test(value) ? Number(value) : parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: `wanted a number or a text like ${example}` });
    return z.NEVER;
  });

const duration = withUnit(parseDuration, "'30m'");
const size = withUnit(parseSize, "'8MiB'");
const whole = z.coerce.number().int().nonnegative();
const count = whole.positive();
const name = z.string().min(1);
const zone = z.string().refine(isZone, "wanted a time zone like 'Europe/Lisbon'");
const moment = z.string().refine(isMoment, "wanted a time like '2026-12-01T01:00'");

const environment = z.strictObject({
  // Empty where its variable is: told when it is asked for.
  uri: z.string().optional(),
  db: name.optional(),
  production: z.boolean().default(false),
});

export const configSchema = z.strictObject({
  db: name.optional().describe('Database, when the path of the URI holds none'),
  environments: z
    .record(z.string(), environment)
    .default({})
    .describe('Named servers for `--env`: `{ uri, db, production }`'),
  migrations: name.default('scripts/migrations').describe('Folder of the migrations'),
  batch: z
    .strictObject({
      size: count.max(10_000).default(500).describe('Documents in the first batch; they adapt to `targetMs`'),
      targetMs: duration
        .pipe(z.number().min(1))
        .default(75)
        .describe('How long a batch may hold its documents, from its first write to its commit, in ms'),
      maxBytes: size.default(8 * 1024 * 1024).describe('Bytes of images in a batch, at most'),
    })
    .prefault({}),
  workers: z
    .union([z.literal('auto'), count.max(64)])
    .default('auto')
    .describe('Chunks worked on at once; `auto` is one more than this machine has cores, 4 at most'),
  leaseMs: duration.pipe(z.number().min(500)).default(15_000).describe('How long a lease lasts without renewal, in ms'),
  outageMs: duration
    .pipe(z.number().min(500))
    .default(600_000)
    .describe('How long a run waits for a server that does not answer, in ms'),
  stallMs: duration
    .pipe(z.number().min(500))
    .default(60_000)
    .describe('After how long without a committed batch a run says so, and why, in ms'),
  window: z
    .strictObject({
      zone: zone.describe("IANA name of the time zone of the maintenance window, like 'Europe/Lisbon'"),
      start: moment.describe('When batches of a run may begin to be written, as a clock in that zone shows it'),
      end: moment.describe('When the run stops, to go on in the next window'),
    })
    .refine(isForwards, 'wanted an end behind the start')
    .optional(),
  throttle: z
    .strictObject({
      maxLagMs: duration
        .default(2_000)
        .describe('How far a secondary may be behind before batches wait, in ms; 0: never'),
      maxCommitMs: duration
        .default(250)
        .describe('Median of the last commits above which batches wait, in ms; 0: never'),
      maxQueue: whole
        .default(32)
        .describe('Operations that wait in the queue of the primary above which batches wait; 0: never'),
      maxConnectionsPercent: whole
        .max(100)
        .default(90)
        .describe('Connections of the primary that are taken, in percent, above which batches wait; 0: never'),
      minOplogMs: duration
        .default(3_600_000)
        .describe('How far a full oplog must reach back, in ms; batches wait while it does not. 0: never'),
      probe: z.url().optional().describe('Address that answers with 2xx while all is well; else batches wait'),
      when: z
        .custom<() => boolean | Promise<boolean>>((value) => typeof value === 'function', 'wanted a function')
        .optional()
        .describe('Function: batches wait while it returns true'),
    })
    .prefault({}),
  transform: z
    .strictObject({
      timeoutMs: duration.pipe(z.number().min(1)).default(5_000).describe('Longest time of one call of `up`, in ms'),
    })
    .prefault({}),
  audit: z
    .strictObject({
      retention: duration
        .default(90 * 86_400_000)
        .describe('How long a run that was rolled back or planned anew keeps its audit, in ms (`audit purge`)'),
    })
    .prefault({}),
  room: z
    .enum(['refuse', 'warn', 'off'])
    .default('refuse')
    .describe(
      'What becomes of a run whose audit does not fit the free disk, or whose oplog volume exceeds half of the oplog',
    ),
  state: z
    .strictObject({
      db: name.optional().describe("Database of Godwit's own collections; the target's when left out"),
      prefix: name
        .regex(/^[A-Za-z_][\w-]*$/, 'wanted a collection name')
        .default('migrations')
        .describe('Their name, and the beginning of the others'),
    })
    .prefault({}),
  redact: z
    .array(name)
    .default([])
    .describe('`collection.path` of fields that are never shown, not even with `--show-values`'),
});

/** Dotted paths of all values, with their descriptions and defaults: for `godwit config`, environment names and docs. */
export interface SettingInfo {
  readonly path: string;
  readonly description: string;
  readonly default: unknown;
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const inner = (schema as unknown as { _zod: { def: { innerType?: z.core.$ZodType } } })._zod.def.innerType;
  return inner ? unwrap(inner) : schema;
}

function walk(schema: z.ZodObject, prefix: string, defaults: Readonly<Record<string, unknown>>): SettingInfo[] {
  return Object.entries(schema.shape).flatMap(([key, field]): SettingInfo[] => {
    const inner = unwrap(field as z.core.$ZodType);
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const value = defaults[key];
    if (inner instanceof z.ZodObject) return walk(inner, path, (value ?? {}) as Readonly<Record<string, unknown>>);
    return [{ path, description: (field as z.ZodType).description ?? '', default: value }];
  });
}

export const SETTINGS: readonly SettingInfo[] = walk(configSchema, '', configSchema.parse({}));

/** `batch.maxBytes` → `GODWIT_BATCH_MAX_BYTES`. */
export const environmentName = (path: string): string =>
  `GODWIT_${path
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replaceAll('.', '_')
    .toUpperCase()}`;
