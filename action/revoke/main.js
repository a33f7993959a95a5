// Revokes a grant before the job ends. Never fails the job: the post step of the elevating step tries again.
'use strict'

const fs = require('node:fs')
const { annotate, input, setOutput } = require('../github.js')
const { call, complaint, prepare } = require('../client.js')

async function revoke() {
  const client = prepare()
  const state = input('state-file')
  // With neither it is the grant of the environment, which the last step that asked has left there.
  const which = state ? [`--state=${state}`] : [input('grant-id')].filter(Boolean)
  const result = await call(client, ['revoke', ...which], { stderr: 'heard' })
  fs.rmSync(client.folder, { recursive: true, force: true })
  if (result.code !== 0) throw new Error(complaint(result.said) || `cloudanix-jit ended with code ${result.code}`)
}

revoke().then(
  () => setOutput('revoked', 'true'),
  (error) => {
    annotate('warning', `the grant could not be revoked yet: ${error.message}`)
    setOutput('revoked', 'false')
  },
)
