// What is said to the runner, and in which form?
'use strict'

const { randomUUID } = require('node:crypto')
const fs = require('node:fs')

/** An input; empty when it was not given. */
function input(name) {
  return (process.env[variableOf(name)] ?? '').trim()
}

/** As the runner hands an input to an action. */
function variableOf(name) {
  return `INPUT_${name.toUpperCase()}`
}

/** What an earlier half of this step has saved. */
function state(name) {
  return process.env[`STATE_${name}`] ?? ''
}

/** Seen by the post half of this step, however this half ends. */
function saveState(name, value) {
  append('GITHUB_STATE', name, value)
}

function setOutput(name, value) {
  append('GITHUB_OUTPUT', name, value)
}

/** Adds a heading and, below it, a text that is shown as it is, to the page of the run. */
function summarise(heading, text) {
  // Indented by four, nothing in it can be markup, nor end the block that it stands in.
  const block = text.trimEnd().split('\n').map((line) => `    ${line}`).join('\n')
  write('GITHUB_STEP_SUMMARY', `### ${heading}\n\n${block}\n\n`)
}

/** An annotation of the job. */
function annotate(level, text) {
  command(`${level} title=cloudanix-jit`, text)
}

/** The runner prints asterisks in place of it from now on. */
function mask(secret) {
  for (const line of secret.split(/\r?\n/).filter(Boolean)) command('add-mask', line)
}

function command(name, text) {
  const escaped = text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  print(1, `::${name}::${escaped}\n`)
}

/** Through Node's own streams a pipe would become one that does not block, for the command as well. */
function print(descriptor, text) {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(descriptor, bytes, at)
    } catch (error) {
      // Another process made it non-blocking: the reader is slow.
      if (error.code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

function append(variable, name, value) {
  // A value cannot contain a delimiter that is random.
  const end = `cloudanix-${randomUUID()}`
  write(variable, `${name}<<${end}\n${value}\n${end}\n`)
}

function write(variable, text) {
  const file = process.env[variable]
  if (!file) throw new Failure(`\`${variable}\` is not set`, 'this is for a step of GitHub Actions')
  fs.appendFileSync(file, text)
}

/** An end that is expected, and what to do about it. */
class Failure extends Error {
  constructor(message, hint, code = 125) {
    super(hint ? `${message} — ${hint}` : message)
    this.code = code
  }
}

module.exports = { Failure, annotate, input, mask, print, saveState, setOutput, state, summarise, variableOf }
