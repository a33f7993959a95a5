// Asks for a grant: for one command, when there is one, else for the rest of the job.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { Failure, annotate, input, setOutput, summarise, variableOf } = require('./github.js')
const { ask, call, complaint, prepare, standing, stateFile } = require('./client.js')
const { shellCommand } = require('./shell.js')

const FLAGS = ['policy', 'ttl', 'target', 'reason', 'timeout', 'wait']
const RUN_FLAGS = ['redact', 'aws-credentials']
const OWN = ['run', 'shell', 'working-directory', 'live-actions', ...FLAGS, ...RUN_FLAGS]

async function main() {
  const client = prepare()
  if (!input('policy')) throw new Failure('the input `policy` is missing', 'name the policy that the step needs')
  // A name and its value in one word: what begins with a dash stays a value.
  const flags = FLAGS.filter(input).map((name) => `--${name}=${input(name)}`)
  return input('run') ? forOneCommand(client, flags) : forTheJob(client, flags)
}

/** The grant begins before the command and ends with it. */
async function forOneCommand(client, flags) {
  const more = RUN_FLAGS.filter(input).map((name) => `--${name}=${input(name)}`)
  if (!isOn('live-actions')) more.push('--no-live-actions')
  const command = shellCommand(client.folder, input('shell') || 'bash', process.env[variableOf('run')])
  for (const name of OWN) delete client.env[variableOf(name)]
  // What is saved there is for our own post half, which calls what it finds named there.
  delete client.env.GITHUB_STATE
  const result = await call(client, ['run', ...flags, ...more, '--', ...command], {
    cwd: path.resolve(input('working-directory') || '.'),
    onGrant: (grant) => setOutput('grant-id', grant),
  })
  const { grant, code } = result
  if (!grant && code !== 0) throw failureOf(result)
  try {
    if (grant) tell(client, result)
  } catch (error) {
    annotate('warning', error.message)
  }
  return code
}

/** Tells the job how the grant of a command that is over stands. */
function tell(client, { grant, interrupted, code }) {
  if (code !== 0) annotate('error', `the command ended with exit code ${code}`)
  // Whoever cancels leaves us ten seconds, of which the client may have used six.
  const { ended, expiresAt } = standing(client, grant, interrupted ? 1500 : 10_000)
  setOutput('expires-at', expiresAt)
  setOutput('revoked', String(ended))
  if (!ended) {
    return annotate('warning', `it is not confirmed that ${grant} has ended; it is tried again when the job ends`)
  }
  const timeline = interrupted ? '' : ask(client, ['timeline', grant], 10_000)
  if (timeline) summarise(`Grant \`${grant}\``, timeline)
  // `post` has nothing to try again.
  fs.rmSync(client.folder, { recursive: true, force: true })
}

/** The grant is there for the steps that follow, until `post` or the deadline. */
async function forTheJob(client, flags) {
  if (!isOn('live-actions') || RUN_FLAGS.some((name) => !['', 'auto'].includes(input(name)))) {
    annotate('warning', '`redact`, `aws-credentials` and `live-actions` do nothing without `run`')
  }
  const result = await call(client, ['elevate', ...flags, '--output=github', `--state=${stateFile(client)}`])
  if (result.code !== 0) throw failureOf(result)
  setOutput('revoked', 'false')
  return 0
}

function failureOf({ said, code }) {
  return new Failure(complaint(said) || `cloudanix-jit ended with code ${code}`, '', code)
}

function isOn(name) {
  const value = input(name) || 'true'
  if (!/^(true|false)$/i.test(value)) {
    throw new Failure(`the input \`${name}\` is \`${value}\``, 'expected `true` or `false`')
  }
  return value.toLowerCase() === 'true'
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error) => {
    annotate('error', error.message)
    process.exitCode = error.code > 0 ? error.code : 1
  },
)
