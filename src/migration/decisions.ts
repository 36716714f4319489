/** Finds and reads the decisions that a merge names. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { broken } from '../domain/author-checks.js';
import { parseDecisions } from '../domain/merge-decisions.js';
import type { Unit } from '../domain/series-step.js';

/** The text of the file, looked for from the migration's folder upwards. */
async function findText(from: string, name: string): Promise<{ readonly path: string; readonly text: string }> {
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const path = join(folder, name);
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
    if (text !== undefined) return { path, text };
    if (folder === dirname(folder))
      throw broken(
        `the decisions of a merge in ${name}`,
        'no such file (a dry run without `decisions` writes the duplicates report that it begins as)',
      );
  }
}

/**
 * The units with their decisions, and the files that these were read from.
 *
 * @param from the migration's file
 * @throws GodwitError GODWIT_MIGRATION_BROKEN
 */
export async function withDecisions(
  from: string,
  units: readonly Unit[],
): Promise<{ readonly units: readonly Unit[]; readonly files: readonly string[] }> {
  const files: string[] = [];
  const decided: Unit[] = [];
  for (const unit of units) {
    if (unit.kind !== 'merge' || unit.decisionsFile === null) decided.push(unit);
    else {
      const { path, text } = await findText(from, unit.decisionsFile);
      files.push(path);
      decided.push({ ...unit, decisions: parseDecisions(text, unit.decisionsFile) });
    }
  }
  return { units: decided, files };
}
