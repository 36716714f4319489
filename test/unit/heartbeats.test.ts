import { Timestamp } from 'bson';
import { describe, expect, test } from 'vitest';
import { Heartbeats } from '../../src/mongo/heartbeats.js';

const hello = (write: number, is: 'primary' | 'secondary', hosts = ['a', 'b', 'c']) => ({
  isWritablePrimary: is === 'primary',
  secondary: is === 'secondary',
  hosts,
  lastWrite: { opTime: { ts: new Timestamp({ t: write, i: 1 }) }, lastWriteDate: new Date(write * 1_000) },
});

/** Heartbeats with a clock that is moved by hand. */
function listening() {
  const clock = { ms: 0 };
  return { clock, heard: new Heartbeats(() => clock.ms) };
}

describe('the lag that heartbeats tell', () => {
  test('is counted from when the primary had what a secondary has not', () => {
    const { clock, heard } = listening();
    heard.hear('a', hello(10, 'primary'));
    heard.hear('b', hello(10, 'secondary'));
    heard.hear('c', hello(10, 'secondary'));
    expect(heard.lag()).toMatchObject({ ms: 0 });
    for (clock.ms = 2_000; clock.ms <= 8_000; clock.ms += 2_000) {
      heard.hear('a', hello(10 + clock.ms / 1_000, 'primary'));
      heard.hear('b', hello(10 + clock.ms / 1_000, 'secondary'));
      heard.hear('c', hello(10, 'secondary'));
    }
    expect(heard.lag()).toEqual({ node: 'c', ms: 6_000 });
    heard.hear('c', hello(18, 'secondary'));
    expect(heard.lag()).toMatchObject({ ms: 0 });
  });

  test('begins with how far a secondary was behind when the primary was heard first', () => {
    const { clock, heard } = listening();
    heard.hear('b', hello(10, 'secondary'));
    heard.hear('a', hello(15, 'primary'));
    expect(heard.lag()).toEqual({ node: 'b', ms: 5_000 });
    clock.ms = 2_000;
    heard.hear('b', hello(11, 'secondary'));
    expect(heard.lag()).toEqual({ node: 'b', ms: 6_000 });
    heard.hear('b', hello(15, 'secondary'));
    expect(heard.lag()).toMatchObject({ ms: 0 });
  });

  test('is none after an idle time, however long ago the last write was', () => {
    const { clock, heard } = listening();
    heard.hear('a', hello(10, 'primary'));
    heard.hear('b', hello(10, 'secondary'));
    clock.ms = 60_000;
    heard.hear('b', hello(10, 'secondary'));
    heard.hear('a', hello(70, 'primary'));
    expect(heard.lag()).toEqual({ node: 'b', ms: 0 });
  });

  test('leaves members out that are down, and begins anew with another primary', () => {
    const { clock, heard } = listening();
    heard.hear('a', hello(10, 'primary'));
    heard.hear('b', hello(8, 'secondary'));
    heard.hear('c', hello(10, 'secondary'));
    clock.ms = 3_000;
    heard.hear('b', hello(8, 'secondary'));
    expect(heard.lag()).toEqual({ node: 'b', ms: 5_000 });
    heard.hear('b', hello(9, 'primary'));
    expect(heard.lag()).toEqual({ node: 'c', ms: 0 });
    heard.lose('c');
    heard.hear('a', { ...hello(10, 'secondary'), secondary: false });
    expect(heard.lag()).toBeUndefined();
  });

  test('is null in a set of one, and unknown where only one of several answers', () => {
    const { heard } = listening();
    expect(heard.lag()).toBeUndefined();
    heard.hear('a', hello(10, 'primary'));
    expect(heard.lag()).toBeUndefined();
    heard.hear('a', hello(10, 'primary', ['a']));
    expect(heard.lag()).toBeNull();
  });
});
