/** What the contract says of every error: its exit code, its code, what was wanted and found, and what to do next. */
import { expect } from 'vitest';
import { isGodwitError } from '../../src/errors.js';
import type { CommandResult } from './command.js';

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly next: readonly string[];
  readonly details: Record<string, unknown>;
}

/** The error of a command that was given --json. Throws when stdout is not exactly one JSON document. */
export function errorOf(result: CommandResult): ErrorBody {
  const { error } = JSON.parse(result.stdout) as { error?: ErrorBody };
  if (!error) throw new Error(`wanted an error, found ${result.stdout.slice(0, 400)}`);
  return error;
}

export interface Refusal {
  readonly exit: number;
  readonly code: string;
  /** What the message must say. */
  readonly says: RegExp;
}

/** The command (with --json) ended as the contract says an error ends. */
export function expectRefusal(result: CommandResult, { exit, code, says }: Refusal): void {
  const error = errorOf(result);
  expect({ exit: result.code, code: error.code }).toEqual({ exit, code });
  expect(error.message).toMatch(says);
  expect(error.next.length, 'it says what to do next').toBeGreaterThan(0);
}

/** The same error, for a person, on stderr. */
export function expectRefusalInWords(result: CommandResult): void {
  const { code, message, next } = errorOf(result);
  const words = (text: string): string => text.replace(/\s+/g, ' ').trim();
  expect(words(result.stderr)).toContain(words(`error ${code}: ${message}`));
  expect(words(result.stderr)).toContain(words(`next: ${next.join(' ')}`));
}

/** The error that the work throws, as a text; what is none of Godwit's is thrown on. */
export function refusalOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isGodwitError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing was refused';
}
