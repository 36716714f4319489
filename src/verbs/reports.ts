/** `.godwit/reports/`: the reports of the last dry runs, and the duplicates of their merges. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Reports that are kept. */
const KEPT = 20;

export const reportsFolder = (cwd: string): string => join(cwd, '.godwit', 'reports');

/** A name that only a dry run gives: migration, moment, and what it is. */
const OWN = /^.+-(\d{8}T\d{6,9}Z)(-.+-duplicates)?\.(json|csv)$/;

/** Removes all but the newest reports, each with the files beside it. What else lies there stays. */
export async function pruneReports(cwd: string): Promise<void> {
  const folder = reportsFolder(cwd);
  const own = (await readdir(folder)).flatMap((name) => {
    const at = OWN.exec(name)?.[1];
    // With or without milliseconds: of one length, they sort as they were made.
    return at === undefined ? [] : { name, at: at.slice(0, -1).padEnd(18, '0') };
  });
  const moments = [...new Set(own.map(({ at }) => at))].sort().reverse();
  const kept = new Set(moments.slice(0, KEPT));
  for (const { name, at } of own) if (!kept.has(at)) await rm(join(folder, name), { force: true });
}
