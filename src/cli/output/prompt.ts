/** A question on the terminal; its answer is the only thing that Godwit ever reads from stdin. */
import { createInterface } from 'node:readline/promises';
import type { Surroundings } from '../surroundings.js';

/** The trimmed answer; undefined where there is no terminal to ask on. A prompt that ends without one is an empty answer. */
export async function ask(
  question: string,
  { stdin, stderr }: Pick<Surroundings, 'stdin' | 'stderr'>,
): Promise<string | undefined> {
  if (!stdin.isTTY) return undefined;
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    return (await prompt.question(question)).trim();
  } finally {
    prompt.close();
  }
}
