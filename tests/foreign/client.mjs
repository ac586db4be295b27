// Calls a method of a server that it knows nothing about: the contract comes from reflection.
//
//   node client.mjs HOST:PORT package.Service Method '{"json": "request"}'
//
// Prints the answer as JSON on standard output; exits 1 with the status on standard error.

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import descriptor from "protobufjs/ext/descriptor/index.js";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const OPTIONS = { keepCase: true, longs: String, enums: String, bytes: String, defaults: true, oneofs: true };

function reflectionClient(address) {
  const entry = createRequire(import.meta.url).resolve("@grpc/reflection");
  const proto = join(dirname(entry), "..", "proto/grpc/reflection/v1/reflection.proto");
  const loaded = grpc.loadPackageDefinition(protoLoader.loadSync(proto, { keepCase: true }));
  // The Python servers register the v1alpha name, whose messages are the same.
  const Client = grpc.makeClientConstructor(
    Object.fromEntries(
      Object.entries(loaded.grpc.reflection.v1.ServerReflection.service).map(([name, method]) => [
        name,
        { ...method, path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" },
      ]),
    ),
    "ServerReflection",
  );
  return new Client(address, grpc.credentials.createInsecure());
}

function ask(stream, request) {
  return new Promise((resolve, reject) => {
    stream.once("data", (answer) =>
      answer.error_response ? reject(new Error(answer.error_response.error_message)) : resolve(answer),
    );
    stream.once("error", reject);
    stream.write(request);
  });
}

// All files that the symbol needs, each once.
async function fileDescriptors(address, symbol) {
  const client = reflectionClient(address);
  const stream = client.ServerReflectionInfo();
  const files = new Map();
  const add = (answer) => {
    for (const bytes of answer.file_descriptor_response.file_descriptor_proto) {
      const file = descriptor.FileDescriptorProto.decode(bytes);
      files.set(file.name, file);
    }
  };
  add(await ask(stream, { file_containing_symbol: symbol }));
  for (let missing; (missing = firstMissing(files)); ) add(await ask(stream, { file_by_filename: missing }));
  stream.end();
  client.close();
  return [...files.values()];
}

function firstMissing(files) {
  for (const file of files.values()) for (const name of file.dependency) if (!files.has(name)) return name;
  return undefined;
}

async function call(address, service, method, request) {
  const files = await fileDescriptors(address, service);
  const set = descriptor.FileDescriptorSet.encode({ file: files }).finish();
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(Buffer.from(set), OPTIONS);
  const Client = grpc.makeGenericClientConstructor(definition[service], service);
  const client = new Client(address, grpc.credentials.createInsecure());
  const deadline = Date.now() + 5000;
  return new Promise((resolve, reject) =>
    client[method](request, { deadline }, (error, answer) => {
      client.close();
      error ? reject(error) : resolve(answer);
    }),
  );
}

const [address, service, method, request] = process.argv.slice(2);
try {
  console.log(JSON.stringify(await call(address, service, method, JSON.parse(request))));
} catch (error) {
  console.error(`${error.code ?? ""} ${error.message}`);
  process.exitCode = 1;
}
