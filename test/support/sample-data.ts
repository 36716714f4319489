/** Real documents that lie beside the repository. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EJSON } from 'bson';
import type { Document } from 'mongodb';

const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url));

/** One Extended JSON document a line, every type kept. */
export function readLines(name: string): Document[] {
  const path = `${DATA}/${name}`;
  if (!existsSync(path))
    throw new Error(`wanted the sample data beside the repository, found no ${name} in ../shared/data`);
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.map((line) => EJSON.parse(line, { relaxed: false }) as Document);
}
