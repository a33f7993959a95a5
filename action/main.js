// Asks for a grant: for one command, when there is one, else for the rest of the job.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { Failure, annotate, input, saveState, setOutput, summarise, variableOf } = require('./github.js')
const { ask, call, complaint, hideSecrets, prepare, problemOf, stateFile, stateOf } = require('./client.js')
const { shellCommand } = require('./shell.js')

const FLAGS = ['policy', 'ttl', 'target', 'reason', 'timeout', 'wait']
const RUN_FLAGS = ['redact', 'aws-credentials']
const OWN = ['run', 'shell', 'working-directory', 'live-actions', 'observe', ...FLAGS, ...RUN_FLAGS]

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
  const isObserved = isOn('observe', 'false')
  if (isObserved) more.push('--observe')
  hideSecrets(client)
  const command = shellCommand(client.folder, input('shell') || 'bash', process.env[variableOf('run')])
  for (const name of OWN) delete client.env[variableOf(name)]
  // What is saved there is for our own post half, which calls what it finds named there.
  delete client.env.GITHUB_STATE
  // Masks on both streams: the runner reads them side by side.
  const kept = ['--masks=both', `--state=${stateFile(client)}`]
  const cwd = path.resolve(input('working-directory') || '.')
  const { code, interrupted } = await call(client, ['run', ...flags, ...more, ...kept, '--', ...command], { cwd })
  const state = stateOf(client)
  // There is no grant to speak of; `post` removes the folder.
  if (isObserved) {
    const problem = state.end?.problem
    if (code !== 0) annotate('error', problem ? problemOf(problem) : `the command ended with exit code ${code}`)
    return code
  }
  if (!state.grant_id && code !== 0) {
    const problem = state.end?.problem
    throw new Failure(problem ? problemOf(problem) : `cloudanix-jit ended with code ${code}`, '', code)
  }
  try {
    tell(client, state, { code, interrupted })
  } catch (error) {
    annotate('warning', error.message)
  }
  return code
}

/** Tells the job how the grant of a command that is over stands. */
function tell(client, { grant_id: grant, expires_at: expiresAt = '', end }, { code, interrupted }) {
  const { problem, revoked = false } = end ?? {}
  if (code !== 0) annotate('error', problem ? problemOf(problem) : `the command ended with exit code ${code}`)
  setOutput('grant-id', grant)
  setOutput('expires-at', expiresAt)
  setOutput('revoked', String(revoked))
  if (!revoked) {
    return annotate('warning', `it is not confirmed that ${grant} has ended; it is tried again when the job ends`)
  }
  // A cancel leaves the action ten seconds, of which the client may have used six.
  const timeline = interrupted ? '' : ask(client, ['timeline', grant], 10_000)
  if (timeline) summarise(`Grant \`${grant}\``, timeline)
  // `post` has nothing to try again.
  fs.rmSync(client.folder, { recursive: true, force: true })
}

/** The grant is there for the steps that follow, until `post` or the deadline. */
async function forTheJob(client, flags) {
  if (isOn('observe', 'false')) {
    throw new Failure('the input `observe` is `true` without `run`', 'name the command that is observed in `run`')
  }
  if (!isOn('live-actions') || RUN_FLAGS.some((name) => !['', 'auto'].includes(input(name)))) {
    annotate('warning', '`redact`, `aws-credentials` and `live-actions` do nothing without `run`')
  }
  const asked = ['elevate', ...flags, '--output=github', `--state=${stateFile(client)}`]
  const { code, said } = await call(client, asked, { stderr: 'heard' })
  if (code !== 0) throw new Failure(complaint(said) || `cloudanix-jit ended with code ${code}`, '', code)
  // For the page of the run: `revoke` removes the file.
  saveState('grant', stateOf(client).grant_id ?? '')
  setOutput('revoked', 'false')
  return 0
}

function isOn(name, otherwise = 'true') {
  const value = input(name) || otherwise
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
