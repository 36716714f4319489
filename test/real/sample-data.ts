/** Real documents that may lie beside the repository; the tests on them are in no tier: `npm run test:real`. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EJSON } from 'bson';
import type { Document } from 'mongodb';

const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url));

/** True where `customers.json` and `accounts.json` are. */
export const hasSampleData = (): boolean =>
  ['customers.json', 'accounts.json'].every((name) => existsSync(`${DATA}/${name}`));

/** One Extended JSON document a line, every type kept. */
export function readLines(name: string): Document[] {
  const lines = readFileSync(`${DATA}/${name}`, 'utf8').trim().split('\n');
  return lines.map((line) => EJSON.parse(line, { relaxed: false }) as Document);
}
