/** What a function for conflicts of a merge is given, and what it returns as it will be stored. */
import { elementsOf } from '../kernel/raw-bson.js';
import { type Doc, deepFreeze, toBytes, toPlain } from '../kernel/values.js';
import { bytesOf, type Elements } from './mapped.js';
import { Given, Origins } from './origins.js';
import { retype, UnstorableValue } from './retype.js';

/** The canonical document and the source, or one field of each. */
export type Sides = readonly [target: Given, source: Given];

/** @param plain as the function is given it, where that is not the document of these elements itself */
export function sideOf(elements: Elements, plain?: Doc): Given {
  const bytes = bytesOf(elements);
  return new Given(plain ?? deepFreeze(toPlain(bytes)), bytes);
}

/**
 * @param output everything that the function returned, by names
 * @throws NotCarried, UnstorableValue
 */
export function elementOf(name: string, value: unknown, sides: Sides, output: Doc): Buffer {
  const [target] = sides;
  const typed = retype(value, target.plain[name], target.typed[name], new Origins(sides, output), [name]);
  const element = elementsOf(toBytes(new Map([[name, typed]]))).get(name);
  if (!element) throw new UnstorableValue([name], 'nothing');
  return element;
}
