#!/usr/bin/env bash
# The secrets of one install, as SecureString parameters: CloudFormation can make none. docs/DEPLOY.md says when.
# Nothing secret is shown, or passed as an argument that others on this machine could read.
#
#   secrets.sh ask [NAME]               at any time: asks for the tokens, makes the keys
#   secrets.sh addresses STACK [NAME]   after each deploy: the flags' and the log's addresses, the log's logins
set -euo pipefail

usage() { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# put NAME VALUE: the value goes through a pipe, as JSON.
put() {
    [[ $2 =~ ^[[:graph:]\ ]+$ && $2 != *[\"\\]* ]] || die "$1: the value has a character that no such value has"
    printf '{"Name":"/%s/secret/%s","Type":"SecureString","Overwrite":true,"Value":"%s"}' "$name" "$1" "$2" |
        aws ssm put-parameter --cli-input-json file:///dev/stdin >/dev/null
    printf 'stored   /%s/secret/%s\n' "$name" "$1"
}

has() {
    aws ssm get-parameter --name "/$name/secret/$1" --query Parameter.Version --output text >/dev/null 2>&1
}

# want NAME QUESTION: asks, shows nothing; an empty line keeps what is there.
want() {
    local value
    printf '%s (empty: %s): ' "$2" "$(has "$1" && echo 'stays as it is' || echo 'none')" >&2
    IFS= read -rs value || true
    printf '\n' >&2
    [ -z "$value" ] || put "$1" "$value"
}

# The public half of an Ed25519 key, from its 32 secret bytes as hex digits: wrapped as PKCS 8, read by openssl.
public_half() {
    local bytes
    bytes=$(printf '302e020100300506032b657004220420%s' "$1" | sed 's/../\\x&/g')
    printf '%b' "$bytes" | openssl pkey -inform DER -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \n'
}

ask() {
    want hubspot_token 'HubSpot: access token of the app'
    want hubspot_client_secret 'HubSpot: client secret of the app'
    want anthropic_api_key 'Anthropic: API key'
    want slack_webhook_url 'Slack: incoming webhook, if people are to be told there'
    local key
    if has link_signing_key; then
        key=$(aws ssm get-parameter --name "/$name/secret/link_signing_key" --with-decryption \
            --query Parameter.Value --output text)
    else
        key=$(openssl rand -hex 32)
        put link_signing_key "$key"
    fi
    printf 'LinkPublicKey=%s\n' "$(public_half "$key")"
    has checkpoint_key || put checkpoint_key "$(openssl rand -hex 32)"
}

output() {
    aws cloudformation describe-stacks --stack-name "$stack" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}

# The member `password` of a secret that the stack made.
password() {
    aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text |
        sed -n 's/.*"password" *: *"\([A-Za-z0-9]*\)".*/\1/p'
}

# One statement as the database's owner, through the data API: the database itself is not reachable from here.
sql() {
    printf '{"resourceArn":"%s","secretArn":"%s","database":"holdfast","sql":"%s"}' "$cluster" "$owner" "$1" |
        aws rds-data execute-statement --cli-input-json file:///dev/stdin >/dev/null
}

# login NAME ROLE..: a login that has these roles of the log and no other. One whose address is stored keeps its
# password: functions that run hold it. To change it, delete that parameter first and deploy once more after.
login() {
    local who=$1 secret role grants=''
    shift
    for role in "$@"; do
        grants+="EXECUTE format('GRANT %I TO holdfast_$who', audit.role_name('$role')); "
    done
    if has "database_url_$who"; then
        sql "DO \$do\$ BEGIN $grants END \$do\$"
        return
    fi
    secret=$(openssl rand -hex 24)
    sql "DO \$do\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_$who') THEN \
CREATE ROLE holdfast_$who LOGIN; END IF; ALTER ROLE holdfast_$who PASSWORD '$secret'; $grants END \$do\$"
    put "database_url_$who" "postgres://holdfast_$who:$secret@$log/holdfast?sslmode=disable"
}

migrate() {
    local answer
    answer=$(aws lambda invoke --function-name "$(output MigrateFunctionName)" --cli-binary-format raw-in-base64-out \
        --payload '{"migrate":"audit"}' --query FunctionError --output text /dev/stdout)
    [[ $answer == *'"migrated":true'* ]] || die "the log's tables are not up to date: $answer"
    printf 'migrated the log\n'
}

addresses() {
    local flags who secret
    flags=$(output FlagsAddress)
    [ -n "$flags" ] || die "the stack $stack has no output FlagsAddress: is it deployed?"
    for who in step halt; do
        secret=$(password "$name/flags/$who")
        [ -n "$secret" ] || die "the secret $name/flags/$who cannot be read"
        put "redis_url_$who" "rediss://$name-$who:$secret@$flags"
    done
    cluster=$(output LogCluster) owner=$(output LogOwnerSecret) log=$(output LogAddress)
    if [ -n "$cluster" ]; then
        secret=$(password "$name/log/owner")
        [ -n "$secret" ] || die "the secret $name/log/owner cannot be read"
        put database_url_owner "postgres://holdfast_owner:$secret@$log/holdfast?sslmode=disable"
        migrate
        login audit writer reader eraser retainer
        login console reader judge
    else
        want database_url_owner 'Postgres: address for the owner of the database'
        migrate
        want database_url_audit 'Postgres: address for a login with the roles writer, reader, eraser, retainer'
        want database_url_console 'Postgres: address for a login with the roles reader, judge'
    fi
}

case ${1-} in
ask)
    [ $# -le 2 ] || usage
    name=${2-holdfast}
    ask
    ;;
addresses)
    [[ $# -ge 2 && $# -le 3 ]] || usage
    stack=$2 name=${3-holdfast}
    addresses
    ;;
*) usage ;;
esac
