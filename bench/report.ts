/** Medians of ratios, as a table and a picture. */
import { percentile } from '../src/domain/phases.js';
import type { Latency } from './latency.js';
import type { Live } from './live.js';
import type { Measured } from './measure.js';

export interface Round {
  readonly documents: number;
  /** By contestant: the documents that it had, and what was measured. */
  readonly results: Readonly<Record<string, Measured & { readonly documents: number }>>;
}

export interface Report {
  readonly takenAt: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly data: string;
  readonly rounds: readonly Round[];
  readonly latency: Readonly<Record<string, Latency>>;
  readonly live: Live | null;
}

export const median = (values: readonly number[]): number =>
  percentile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

type Of = (result: Measured & { readonly documents: number }) => number;

/** Documents a second; of the whole process, or of its work alone. */
export const rate: Of = ({ documents, wallSeconds }) => documents / wallSeconds;
export const engineRate: Of = ({ documents, seconds }) => documents / seconds;
/** µs of both processes for one document. */
export const cpu: Of = ({ documents, clientCpuMs, serverCpuMs }) => ((clientCpuMs + serverCpuMs) * 1_000) / documents;

export interface Ratio {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** `one` ÷ `other`, round by round; null where they did not meet. */
export function ratio({ rounds }: Report, documents: number, of: Of, one: string, other: string): Ratio | null {
  const ratios = rounds.flatMap((round) => {
    const [a, b] = [round.results[one], round.results[other]];
    return round.documents === documents && a && b ? [of(a) / of(b)] : [];
  });
  if (ratios.length === 0) return null;
  return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}

interface Target {
  readonly what: string;
  readonly of: Of;
  readonly pair: readonly [string, string];
  readonly bound: string;
}

/** What is wanted of each release (the table). */
export const TARGETS: readonly Target[] = [
  {
    what: 'engine (JavaScript transform, full audit, transactions) ÷ hand-tuned loop',
    of: engineRate,
    pair: ['transform', 'hand'],
    bound: '≥ 1.25',
  },
  { what: 'whole command, start-up included ÷ the same', of: rate, pair: ['transform', 'hand'], bound: '≥ 1.15' },
  { what: 'CPU per document, client and server ÷ the same', of: cpu, pair: ['transform', 'hand'], bound: '≤ 0.75' },
  { what: '÷ naive loop (migrate-mongo)', of: rate, pair: ['transform', 'naive'], bound: '≥ 15' },
  { what: '÷ mongo-bulk-data-migration', of: rate, pair: ['transform', 'mbdm'], bound: '≥ 2' },
  { what: 'pipeline with audit ÷ bare updateMany in chunks', of: rate, pair: ['pipeline', 'chunked'], bound: '≥ 0.6' },
  { what: 'rollback ÷ forward', of: rate, pair: ['rollback', 'transform'], bound: '≥ 0.8' },
  { what: 'verify ÷ forward', of: rate, pair: ['verify', 'transform'], bound: '≥ 5' },
];

const show = (value: number): string => (value >= 10 ? value.toFixed(1) : value.toFixed(2));
const showRatio = ({ median: middle, low, high }: Ratio): string => `${show(middle)} (${show(low)} to ${show(high)})`;

export const sizesOf = ({ rounds }: Report): number[] => [...new Set(rounds.map(({ documents }) => documents))];

export function targetsTable(report: Report): string {
  const sizes = sizesOf(report);
  const head = ['what', 'wanted', ...sizes.map((size) => `${size.toLocaleString('en-US')} documents`)];
  const lines = TARGETS.map(({ what, of, pair, bound }) => {
    const cells = sizes.map((size) => ratio(report, size, of, ...pair));
    return [what, bound, ...cells.map((cell) => (cell ? showRatio(cell) : ''))];
  });
  return table([head, ...lines]);
}

export function contestantsTable(report: Report, documents: number, names: Readonly<Record<string, string>>): string {
  const rounds = report.rounds.filter((round) => round.documents === documents);
  const lines = Object.entries(names).flatMap(([name, what]) => {
    const results = rounds.flatMap(({ results: { [name]: result } }) => result ?? []);
    if (results.length === 0) return [];
    const of = (value: Of): number => median(results.map(value));
    return [
      [
        what,
        Math.round(of(rate)).toLocaleString('en-US'),
        show(of(({ wallSeconds }) => wallSeconds)),
        String(Math.round(of(cpu))),
        String(Math.round(of(({ peakMb }) => peakMb))),
      ],
    ];
  });
  return table([['contestant', 'documents/s', 'seconds', 'CPU µs/document', 'peak MB'], ...lines]);
}

export function latencyTable({ latency }: Report, names: Readonly<Record<string, string>>): string {
  const lines = Object.entries(latency).map(([name, { updates, p50, p99, longest }]) => [
    names[name] ?? name,
    ...[p50, p99, longest, updates].map(String),
  ]);
  return table([['beside', 'p50 ms', 'p99 ms', 'longest ms', 'updates'], ...lines]);
}

export function liveTable({ control, restartMs, takeoverMs }: Live): string {
  const restarts = (what: string, times: readonly number[]): string[][] =>
    times.length === 0 ? [] : [[what, ...[times.length, median(times), '', Math.max(...times)].map(String)]];
  return table([
    ['a run under way', 'times', 'p50 ms', 'p99 ms', 'longest ms'],
    ['from a question to its effect', ...[control.asked, control.p50, control.p99, control.longest].map(String)],
    ...restarts('from SIGKILL to the first commit of the next process', restartMs),
    ...restarts('the same, on another machine: behind a lease of 15 s', takeoverMs),
  ]);
}

const table = ([head = [], ...lines]: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const BAR = { height: 22, gap: 10, left: 380, width: 340 } as const;

/** Looks only, and would dwarf the others. */
const LEFT_OUT = 'verify';

/** Bars of documents a second, the longest as wide as there is room. */
export function picture(report: Report, documents: number, names: Readonly<Record<string, string>>): string {
  const rounds = report.rounds.filter((round) => round.documents === documents);
  const bars = Object.entries(names).flatMap(([name, what]) => {
    const rates = rounds.flatMap(({ results: { [name]: result } }) => (result ? [rate(result)] : []));
    return rates.length > 0 && name !== LEFT_OUT ? [{ name, what, value: median(rates) }] : [];
  });
  const most = Math.max(...bars.map(({ value }) => value));
  const height = bars.length * (BAR.height + BAR.gap) + 44;
  const rows = bars.map(({ name, what, value }, index) => {
    const y = 34 + index * (BAR.height + BAR.gap);
    const width = Math.max(1, (value / most) * BAR.width);
    const isOwn = what.startsWith('Godwit');
    return [
      `<text x="${BAR.left - 10}" y="${y + 15}" text-anchor="end">${escaped(what)}</text>`,
      `<rect x="${BAR.left}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}" rx="3" fill="${isOwn ? '#0f766e' : '#94a3b8'}"><title>${name}</title></rect>`,
      `<text x="${Math.round(BAR.left + width + 8)}" y="${y + 15}">${Math.round(value).toLocaleString('en-US')}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="800" height="${height}" viewBox="0 0 800 ${height}" font-family="system-ui, sans-serif" font-size="12.5" fill="#334155">
<title>Documents a second of each contestant</title>
<rect width="800" height="${height}" fill="#ffffff"/>
<text x="10" y="20" font-weight="600">Documents a second, start-up included (${documents.toLocaleString('en-US')} documents, median of ${rounds.length})</text>
${rows.join('\n')}
</svg>
`;
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
