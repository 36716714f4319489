/** Widths, columns, cuts: text that fits where it is read. */
import stringWidth from 'string-width';

export const padEnd = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - stringWidth(text)));
export const padStart = (text: string, width: number): string =>
  ' '.repeat(Math.max(0, width - stringWidth(text))) + text;

/** Cut in the middle, so that both ends of a long name can be read. */
export function cutMiddle(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  if (width <= 3) return text.slice(0, width);
  const head = Math.ceil((width - 2) / 2);
  return `${text.slice(0, head)}..${text.slice(text.length - (width - 2 - head))}`;
}

export function cutEnd(text: string, width: number): string {
  return stringWidth(text) <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** Rows of cells, each column as wide as its widest cell; `right` aligns a column's figures. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = [], gap = 2): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, stringWidth(cell));
  return rows.map((row) =>
    row
      .map((cell, at) => (right.includes(at) ? padStart(cell, widths[at] ?? 0) : padEnd(cell, widths[at] ?? 0)))
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}

/** `####....` */
export function bar(share: number, width: number): string {
  const full = Math.min(width, Math.floor(Math.max(0, share) * width));
  return '#'.repeat(full) + '.'.repeat(width - full);
}

/** `next:` with its commands below each other. */
export function nextLines(next: readonly string[]): string[] {
  return next.map((line, index) => `${index === 0 ? 'next: ' : '      '}${line}`);
}

/** Breaks a long sentence at blanks; continuation lines are indented. */
export function wrap(text: string, width: number, indent = '  '): string[] {
  const lines: string[] = [];
  const start = /^ */.exec(text)?.[0] ?? '';
  let line = start;
  for (const word of text.slice(start.length).split(' ')) {
    const joined = line === start ? line + word : `${line} ${word}`;
    if (stringWidth(joined) > width && line !== start) {
      lines.push(line);
      line = indent + word;
    } else line = joined;
  }
  return [...lines, line];
}
