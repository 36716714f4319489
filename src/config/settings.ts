/** The checked configuration, with every default. What the values mean stands beside them in schema.ts. */

import type { Window } from '../domain/window.js';

export interface Environment {
  readonly uri?: string | undefined;
  readonly db?: string | undefined;
  readonly production: boolean;
}

/** Durations are in ms, sizes in bytes. */
export interface Settings {
  readonly db?: string | undefined;
  readonly environments: Readonly<Record<string, Environment>>;
  readonly migrations: string;
  readonly batch: { readonly size: number; readonly targetMs: number; readonly maxBytes: number };
  readonly workers: number | 'auto';
  readonly leaseMs: number;
  readonly outageMs: number;
  readonly stallMs: number;
  readonly throttle: {
    readonly maxLagMs: number;
    readonly maxCommitMs: number;
    readonly maxQueue: number;
    readonly maxConnectionsPercent: number;
    readonly minOplogMs: number;
    readonly probe?: string | undefined;
    readonly when?: (() => boolean | Promise<boolean>) | undefined;
  };
  readonly window?: Window | undefined;
  readonly transform: { readonly timeoutMs: number };
  readonly audit: { readonly retention: number };
  readonly room: 'refuse' | 'warn' | 'off';
  readonly state: { readonly db?: string | undefined; readonly prefix: string };
  readonly redact: readonly string[];
}
