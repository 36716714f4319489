/** `npm run bench`: everybody in one run, on fresh replica sets, one after the other, round by round. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTESTANTS, type Contestant, contestantNamed } from './contestants.js';
import { generated, type MakeDocument, multiplied } from './documents.js';
import { Ground } from './ground.js';
import { type Latency, startApplication } from './latency.js';
import { type Live, measureLive } from './live.js';
import { measure } from './measure.js';
import {
  contestantsTable,
  latencyTable,
  liveTable,
  picture,
  type Report,
  type Round,
  sizesOf,
  targetsTable,
} from './report.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    sizes: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    /** Real documents to multiply: Extended JSON, one a line. */
    data: { type: 'string' },
    /** Also a million documents, for Godwit and a bare updateMany, once. */
    million: { type: 'boolean', default: false },
    'no-latency': { type: 'boolean', default: false },
    'no-live': { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

/** Three minutes, to see whether a change has cost something; or what docs/performance.md says. */
const SIZES = (values.sizes ?? (values.quick ? '10000' : '50000,200000')).split(',').map(Number);
/** Whoever is slow has fewer documents still. */
const QUICK_SHARE = 5;
const ROUNDS = Number(values.rounds ?? (values.quick ? 2 : 5));
const LATENCY_DOCUMENTS = values.quick ? 10_000 : 50_000;
const LIVE = values.quick
  ? { documents: 20_000, rounds: 3, kills: 1, takeovers: 0 }
  : { documents: 100_000, rounds: 20, kills: 7, takeovers: 4 };
const MILLION = 1_000_000;
/** An application that nobody disturbs is watched for so long, in ms. */
const IDLE_MS = values.quick ? 3_000 : 10_000;

const names = Object.fromEntries(CONTESTANTS.map(({ name, what }) => [name, what]));
const wanted = values.only?.split(',');
const isWanted = ({ name }: Contestant): boolean => wanted === undefined || wanted.includes(name);
const makeFrom = (): MakeDocument => (values.data === undefined ? generated() : multiplied(values.data));

/** The contestants in another order each round, those that go on with another's work behind it. */
function orderFor(round: number, contestants: readonly Contestant[]): Contestant[] {
  const first = contestants.filter(({ after }) => after === undefined);
  const turned = [...first.slice(round % first.length), ...first.slice(0, round % first.length)];
  return turned.flatMap((one) => {
    const line = [one];
    for (let next: Contestant | undefined = one; next; ) {
      const { name }: Contestant = next;
      next = contestants.find(({ after }) => after === name);
      if (next) line.push(next);
    }
    return line;
  });
}

async function playRound(documents: number, round: number, contestants: readonly Contestant[]): Promise<Round> {
  const ground = await Ground.start(documents, makeFrom());
  const results: Record<string, Round['results'][string]> = {};
  try {
    for (const { name, after, mostDocuments, command } of orderFor(round, contestants)) {
      const count = Math.min(
        documents,
        mostDocuments === undefined ? documents : mostDocuments / (values.quick ? QUICK_SHARE : 1),
      );
      if (after === undefined) await ground.reset(count);
      const measured = await measure(command(ground.uri), ground.server.pid);
      await ground.requireDone(name, count);
      results[name] = { ...measured, documents: count };
      const line = `${Math.round(count / measured.wallSeconds).toLocaleString('en-US')}/s`;
      console.error(`${documents} documents, round ${round + 1}: ${name.padEnd(12)} ${line}`);
    }
  } finally {
    await ground.stop();
  }
  return { documents, results };
}

/** What an application waits beside each of these. */
const BESIDE = [
  ...['hand', 'transform', 'rollback', 'chunked', 'pipeline'],
  ...(values.quick ? [] : ['sequential', 'mbdm']),
];

async function measureLatency(): Promise<Record<string, Latency>> {
  const ground = await Ground.start(LATENCY_DOCUMENTS, makeFrom());
  const latency: Record<string, Latency> = {};
  try {
    await ground.reset();
    const idle = await startApplication(ground.uri, LATENCY_DOCUMENTS);
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    latency['idle'] = await idle();
    for (const { name, command } of CONTESTANTS.filter((one) => BESIDE.includes(one.name) && isWanted(one))) {
      if (name !== 'rollback') await ground.reset();
      const end = await startApplication(ground.uri, LATENCY_DOCUMENTS);
      // Documents that the application has written come back field by field: exit 4 is for what it inserted.
      await measure(command(ground.uri), ground.server.pid);
      latency[name] = await end();
      console.error(`beside ${name.padEnd(12)} p99 ${latency[name].p99} ms`);
    }
    if (isWanted({ name: 'transform' } as Contestant)) {
      await ground.reset();
      const end = await startApplication(ground.uri, LATENCY_DOCUMENTS);
      const command = contestantNamed('transform').command(ground.uri);
      await measure({ ...command, args: [...command.args, '--max-rate', '2000'] }, ground.server.pid);
      latency['transform, --max-rate 2000'] = await end();
    }
  } finally {
    await ground.stop();
  }
  return latency;
}

async function askAndKill(): Promise<Live> {
  const { documents, ...times } = LIVE;
  const ground = await Ground.start(documents, makeFrom());
  return measureLive(ground.uri, { ...times, reset: () => ground.reset() }).finally(() => ground.stop());
}

async function versions(): Promise<Record<string, string | number>> {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const ground = await Ground.start(1, generated());
  const { version: mongod } = await ground.buildInfo().finally(() => ground.stop());
  const [first] = cpus();
  return {
    godwit: version,
    node: process.version,
    mongod,
    cpus: cpus().length,
    cpu: first?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  };
}

const rounds: Round[] = [];
for (const documents of SIZES)
  for (let round = 0; round < ROUNDS; round += 1)
    rounds.push(await playRound(documents, round, CONTESTANTS.filter(isWanted)));
if (values.million) {
  const own = CONTESTANTS.filter(({ name }) =>
    ['transform', 'verify', 'rollback', 'updateMany', 'pipeline'].includes(name),
  );
  rounds.push(await playRound(MILLION, 0, own));
}
const report: Report = {
  takenAt: new Date().toISOString().slice(0, 10),
  machine: await versions(),
  data: values.data === undefined ? 'generated' : 'real documents, multiplied',
  rounds,
  latency: values['no-latency'] ? {} : await measureLatency(),
  live: values['no-live'] ? null : await askAndKill(),
};

const largest = Math.max(...sizesOf(report).filter((size) => size < MILLION));
const parts = [
  targetsTable(report),
  ...sizesOf(report).map(
    (size) => `${size.toLocaleString('en-US')} documents\n\n${contestantsTable(report, size, names)}`,
  ),
  ...(values['no-latency'] ? [] : [latencyTable(report, { ...names, idle: 'nobody' })]),
  ...(report.live ? [liveTable(report.live)] : []),
];
console.log(parts.join('\n\n'));
const out = values.out ?? (values.quick ? undefined : fileURLToPath(new URL('../docs/performance', import.meta.url)));
if (out !== undefined) {
  writeFileSync(`${out}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${out}.svg`, picture(report, largest, names));
}
