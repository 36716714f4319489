/** The author's line that an error came from, with its neighbours. */
import { readFileSync } from 'node:fs';

/** `file:line:column` and a few lines; nothing when the file cannot be read. */
export function codeFrame(at: string): string[] {
  const match = /^(.*):(\d+):(\d+)$/.exec(at);
  if (!match) return [];
  const [path, line, column] = [match[1] ?? '', Number(match[2]), Number(match[3])];
  let source: readonly string[];
  try {
    source = readFileSync(path, 'utf8').split('\n');
  } catch {
    // The file may have moved since; the place is still worth telling.
    return [`  ${at}`];
  }
  const first = Math.max(1, line - 2);
  const width = String(line + 1).length;
  const lines = source.slice(first - 1, line + 1).map((text, index) => {
    const number = first + index;
    return `${number === line ? '>' : ' '} ${String(number).padStart(width)} | ${text}`;
  });
  lines.splice(line - first + 1, 0, `  ${' '.repeat(width)} | ${' '.repeat(Math.max(0, column - 1))}^`);
  return [`  ${at}`, ...lines];
}
