import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { classifyBatchError, translateServerError } from '../../src/mongo/server-errors.js';

/** What Node says of a write to a socket whose other side has ended: seed 800008 of the campaign met it. */
async function errorAfterEnd(): Promise<unknown> {
  const server = createServer((socket) => void socket.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket: Socket = connect((server.address() as { port: number }).port, '127.0.0.1').resume();
  const failed = once(socket, 'error');
  // Its own side ends right behind the other's.
  socket.once('end', () => process.nextTick(() => process.nextTick(() => void socket.write('a statement'))));
  const [error] = (await failed) as [unknown];
  server.close();
  return error;
}

test('a socket that the other side has ended is a network error, although Node names no system call', async () => {
  const error = await errorAfterEnd();
  expect(error).toMatchObject({ code: 'EPIPE' });
  expect(error).not.toHaveProperty('syscall');
  expect(classifyBatchError(error)).toBe('interrupted');
  expect(translateServerError(error).code).toBe('GODWIT_NO_PRIMARY');
});

test('an error of a transform that only looks like one of the network stays what it is', () => {
  const error = Object.assign(new Error('my own cache is away'), { code: 'ECONNREFUSED' });
  expect(classifyBatchError(error)).toBe('fatal');
  expect(translateServerError(error).code).toBe('GODWIT_UNEXPECTED');
});
