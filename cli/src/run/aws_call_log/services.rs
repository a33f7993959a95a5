//! The prefix of an AWS service's actions in a policy.

/// Services with a prefix that does not follow from their id: the id in lower case without spaces, and the prefix.
const PREFIXES: &[(&str, &str)] = &[
    ("accessanalyzer", "access-analyzer"),
    ("acmpca", "acm-pca"),
    ("amp", "aps"),
    ("apigatewaymanagementapi", "execute-api"),
    ("apigatewayv2", "apigateway"),
    ("applicationautoscaling", "application-autoscaling"),
    ("autoscalingplans", "autoscaling-plans"),
    ("bedrockagent", "bedrock"),
    ("bedrockagentruntime", "bedrock"),
    ("bedrockruntime", "bedrock"),
    ("cloudcontrol", "cloudformation"),
    ("cloudwatchevents", "events"),
    ("cloudwatchlogs", "logs"),
    ("codestarconnections", "codestar-connections"),
    ("cognitoidentity", "cognito-identity"),
    ("cognitoidentityprovider", "cognito-idp"),
    ("configservice", "config"),
    ("costexplorer", "ce"),
    ("databasemigrationservice", "dms"),
    ("directoryservice", "ds"),
    ("docdb", "rds"),
    ("dynamodbstreams", "dynamodb"),
    ("ec2instanceconnect", "ec2-instance-connect"),
    ("ecrpublic", "ecr-public"),
    ("efs", "elasticfilesystem"),
    ("elasticloadbalancingv2", "elasticloadbalancing"),
    ("elasticsearchservice", "es"),
    ("emr", "elasticmapreduce"),
    ("emrcontainers", "emr-containers"),
    ("emrserverless", "emr-serverless"),
    ("eventbridge", "events"),
    ("iotdataplane", "iot"),
    ("keyspaces", "cassandra"),
    ("location", "geo"),
    ("mwaa", "airflow"),
    ("neptune", "rds"),
    ("networkfirewall", "network-firewall"),
    ("opensearch", "es"),
    ("opensearchserverless", "aoss"),
    ("rdsdata", "rds-data"),
    ("redshiftdata", "redshift-data"),
    ("redshiftserverless", "redshift-serverless"),
    ("resourcegroups", "resource-groups"),
    ("resourcegroupstaggingapi", "tag"),
    ("s3control", "s3"),
    ("s3outposts", "s3-outposts"),
    ("sagemakerruntime", "sagemaker"),
    ("sesv2", "ses"),
    ("sfn", "states"),
    ("ssmincidents", "ssm-incidents"),
    ("ssoadmin", "sso"),
    ("timestreamquery", "timestream"),
    ("timestreamwrite", "timestream"),
    ("vpclattice", "vpc-lattice"),
    ("wafregional", "waf-regional"),
];

/// The longest service id that is read.
const LONGEST: usize = 48;

/// `Elastic Load Balancing v2` is `elasticloadbalancing`. Nothing for what cannot be a service.
pub(super) fn prefix(service: &str) -> Option<String> {
    let plain: String = service
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(LONGEST)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let known = PREFIXES.binary_search_by_key(&plain.as_str(), |(id, _)| id);
    let known = known.ok().and_then(|at| PREFIXES.get(at)).map(|(_, prefix)| (*prefix).to_owned());
    known.or(Some(plain)).filter(|prefix| !prefix.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_the_prefix_of_policies() {
        for (id, expected) in [
            ("ECS", "ecs"),
            ("S3", "s3"),
            ("Secrets Manager", "secretsmanager"),
            ("Elastic Load Balancing", "elasticloadbalancing"),
            ("Elastic Load Balancing v2", "elasticloadbalancing"),
            ("CloudWatch", "cloudwatch"),
            ("CloudWatch Logs", "logs"),
            ("SFN", "states"),
            ("Cognito Identity Provider", "cognito-idp"),
            ("Auto Scaling", "autoscaling"),
            ("API Gateway", "apigateway"),
            ("Route 53", "route53"),
        ] {
            assert_eq!(prefix(id).as_deref(), Some(expected), "{id}");
        }
        assert_eq!(prefix(" \u{1b}[2J…"), Some("2j".to_owned()));
        assert_eq!(prefix("…"), None);
        assert_eq!(prefix(&"x".repeat(5000)).unwrap().len(), LONGEST);
    }

    #[test]
    fn the_table_is_sorted_and_has_only_exceptions_to_the_rule() {
        assert!(PREFIXES.is_sorted_by(|one, next| one.0 < next.0));
        assert!(PREFIXES.iter().all(|(id, prefix)| id != prefix));
    }
}
