/** What a dry run says of the types of values: paths that would hold two, and numbers whose type would change. */

import type { TypesByPath } from '../../domain/number-types.js';
import { formatCount } from '../../kernel/units.js';
import { wrap } from '../output/layout.js';
import type { DryRunView } from './dry-run.js';

/** Paths that are shown of each kind. */
const MAX_PATHS = 5;

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([label, count]) => `${label} (${formatCount(count)})`)
    .join(', ');

function lines(found: TypesByPath, what: string, columns: number): string[] {
  const all = Object.entries(found);
  const shown = all
    .slice(0, MAX_PATHS)
    .flatMap(([path, counts]) => wrap(`  ! ${path} ${what}: ${listed(counts)}`, columns, '      '));
  const more =
    all.length > MAX_PATHS ? [`    ... and ${all.length - MAX_PATHS} paths more; all of them: --out FILE`] : [];
  return [...shown, ...more];
}

export function valueTypes({ report, columns, paint }: DryRunView): string[] {
  const found = [
    ...lines(report.mixedTypes, 'would hold two types', columns),
    ...lines(report.retyped, 'would change the type of a number', columns),
  ];
  return found.length === 0 ? [] : [paint('bold', 'types'), ...found];
}
