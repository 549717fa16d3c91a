/* experiments/rewards/brief.c: a reward as a program that answers lines: the share of the
 * allowed tokens that a completion did without.
 *
 *     cc -O2 experiments/rewards/brief.c -o brief -lcjson
 *     hone reward check --command '["./brief"]'
 */
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

static cJSON *hello(void) {
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddNumberToObject(answer, "hone_reward", 1);
    cJSON_AddStringToObject(answer, "name", "brief");
    cJSON_AddStringToObject(answer, "version", "1");
    cJSON_AddTrueToObject(answer, "deterministic");
    return answer;
}

static cJSON *score(const cJSON *request) {
    cJSON *answer = cJSON_CreateObject(), *results = cJSON_AddArrayToObject(answer, "results");
    double max = cJSON_GetNumberValue(cJSON_GetObjectItem(request, "max_tokens"));
    cJSON_AddNumberToObject(answer, "id",
                            cJSON_GetNumberValue(cJSON_GetObjectItem(request, "id")));
    const cJSON *sample;
    cJSON_ArrayForEach(sample, cJSON_GetObjectItem(request, "samples")) {
        double n = cJSON_GetArraySize(cJSON_GetObjectItem(sample, "ids"));
        /* a bare number is a score; null says that there is none */
        cJSON_AddItemToArray(results, max > 0 ? cJSON_CreateNumber(n < max ? 1 - n / max : 0)
                                              : cJSON_CreateNull());
    }
    return answer;
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        cJSON *request = cJSON_Parse(line);
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(request, "type"));
        if (!type) return 1; /* hone starts the next one */
        cJSON *answer = type[0] == 'h' ? hello() : score(request);
        char *text = cJSON_PrintUnformatted(answer);
        puts(text);
        fflush(stdout);
        free(text);
        cJSON_Delete(answer);
        cJSON_Delete(request);
    }
    free(line);
    return 0;
}
