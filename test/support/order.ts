/** Files that take long begin first, so that the last worker is not left with one; those that hold the same server, apart. */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const FIRST = ['crash/elections.', 'crash/operators.', 'campaign/', 'crash/network.', 'crash/fault-points.'];
const LATER = ['crash/throttle.', 'crash/servers.'];

/** Lower is earlier. */
function rankOf({ moduleId }: TestSpecification): number {
  const first = FIRST.findIndex((name) => moduleId.includes(`/${name}`));
  if (first >= 0) return first;
  return FIRST.length + (LATER.some((name) => moduleId.includes(`/${name}`)) ? 1 : 0);
}

export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    // Half of the others come between those that want the same server.
    const plain = sorted.filter((file) => rankOf(file) === FIRST.length);
    const first = sorted.filter((file) => rankOf(file) < FIRST.length).sort((a, b) => rankOf(a) - rankOf(b));
    const later = sorted.filter((file) => rankOf(file) > FIRST.length);
    const half = Math.ceil(plain.length / 2);
    return [...first, ...plain.slice(0, half), ...later, ...plain.slice(half)];
  }
}
