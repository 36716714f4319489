/** Durations and sizes with their unit: read from configuration, written for people. */

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

function parseWithUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]+)$/.exec(text.trim());
  const unit = units[match?.[2] ?? ''];
  return match && unit !== undefined ? Number(match[1]) * unit : undefined;
}

/** Milliseconds of `'30m'`, `'1.5h'`, `'250ms'`; undefined when it is no duration. */
export const parseDuration = (text: string): number | undefined => parseWithUnit(text, DURATION_MS);

/** Bytes of `'8MiB'`, `'1.5GB'`; undefined when it is no size. */
export const parseSize = (text: string): number | undefined => parseWithUnit(text, SIZE_BYTES);

/** `1h 15m`, `12.4s`, `380ms`: two units at most. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)}s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, '0')}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, '0')}m`;
}

/** `18.3 GiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${bytes < 0 ? '-' : ''}${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `48,211,904`. */
export const formatCount = (count: number): string => count.toLocaleString('en-US');

/**
 * A share in percent that is never 100 before all is done and never 0 for something: `99.999 %`, `< 0.001 %`, `none`.
 */
export function formatShare(part: number, whole: number): string {
  if (part === 0 || whole === 0) return 'none';
  const percent = (100 * part) / whole;
  if (percent >= 100) return '100 %';
  if (percent < 0.001) return '< 0.001 %';
  return `${(Math.floor(percent * 1_000) / 1_000).toFixed(3)} %`;
}
