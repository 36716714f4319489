import { describe, expect, test } from 'vitest';
import { isForwards, isMoment, isZone, phaseOf, type Window } from '../../src/domain/window.js';

const window = (start: string, end: string, zone = 'Europe/Lisbon'): Window => ({ zone, start, end });
const at = (text: string): Date => new Date(text);

describe('a window', () => {
  test.each([
    ['2026-12-01T00:59:59Z', 'before'],
    ['2026-12-01T01:00:00Z', 'open'],
    ['2026-12-01T04:59:59Z', 'open'],
    ['2026-12-01T05:00:00Z', 'closed'],
  ])('at %s is %s', (now, phase) => {
    expect(phaseOf(window('2026-12-01T01:00', '2026-12-01T05:00'), at(now))).toBe(phase);
  });

  test.each([
    // In summer Lisbon is an hour ahead; New York changes its clocks at 06:00 UTC on 2026-11-01.
    ['Europe/Lisbon', '2026-07-01T01:00', '2026-07-01T00:00:00Z'],
    ['America/New_York', '2026-11-01T02:00', '2026-11-01T07:00:00Z'],
    ['Asia/Kolkata', '2026-12-01T01:00:30', '2026-11-30T19:30:30Z'],
  ])('in %s opens at %s, which is %s', (zone, start, opens) => {
    const day = window(start, '2027-12-01T05:00', zone);
    expect([phaseOf(day, new Date(at(opens).getTime() - 1)), phaseOf(day, at(opens))]).toEqual(['before', 'open']);
  });

  test('goes forwards', () => {
    expect(isForwards(window('2026-12-01T01:00', '2026-12-01T05:00'))).toBe(true);
    expect(isForwards(window('2026-12-01T05:00', '2026-12-01T05:00'))).toBe(false);
  });

  test.each(['2026-12-01', '01:00', '2026-12-01T01:00Z', '2026-12-01T25:00', '2026-02-30T01:00', ''])(
    'has no moment %j',
    (text) => {
      expect(isMoment(text)).toBe(false);
    },
  );

  test('has a zone of the world', () => {
    expect(['Europe/Lisbon', 'UTC', 'Europe/Lisboa', '+01:00', ''].map(isZone)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
