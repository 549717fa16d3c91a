/* experiments/rewards/reversed.cc: a reward as a shared object in C++: the share of the gold's
 * letters that stand in their place in the last <answer>.
 *
 *     c++ -O2 -fPIC -shared -fvisibility=hidden -iquote reward experiments/rewards/reversed.cc \
 *         -o reversed.so
 *     hone reward check ./reversed.so
 */
#include "hone_reward.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>

namespace {

const hone_reward_host *host;

std::string text_of(const hone_reward_text &t) { return std::string(t.data, t.n); }

/* What stands in the last <answer>...</answer>. */
bool last_answer(const std::string &text, std::string &answer) {
    const std::string open = "<answer>", close = "</answer>";
    size_t end = text.rfind(close);
    size_t start = end == std::string::npos ? end : text.rfind(open, end);
    if (start == std::string::npos) return false;
    start += open.size();
    answer = text.substr(start, end - start);
    return true;
}

void score_one(const std::string &gold, const std::string &text, hone_reward_result &r) {
    std::string answer;
    if (gold.empty()) {
        r.status = HONE_REWARD_NOT_SCORABLE;
    } else if (!last_answer(text, answer)) {
        r.status = HONE_REWARD_UNPARSABLE;
        std::snprintf(r.reason, sizeof r.reason, "no answer");
    } else {
        size_t right = 0, longer = std::max(gold.size(), answer.size());
        for (size_t i = 0; i < std::min(gold.size(), answer.size()); i++)
            right += gold[i] == answer[i];
        r.status = HONE_REWARD_OK;
        r.score = static_cast<double>(right) / static_cast<double>(longer);
        r.n_parts = 1;
        std::snprintf(r.part[0].name, sizeof r.part[0].name, "in_place");
        r.part[0].value = static_cast<double>(right);
    }
}

void *create(const hone_reward_host *h, const char *, size_t) {
    host = h;
    return &host;
}

/* No exception may leave a plug-in. */
int score(void *, const hone_reward_group *group) {
    try {
        const std::string gold = text_of(group->gold);
        for (uint32_t i = 0; i < group->n; i++)
            score_one(gold, text_of(group->sample[i]->text), *group->result[i]);
        return 0;
    } catch (const std::exception &e) {
        host->set_error(host, e.what());
        return -1;
    }
}

const hone_reward_plugin plugin = {sizeof plugin, HONE_REWARD_ABI_MAJOR, HONE_REWARD_ABI_MINOR,
                                   HONE_REWARD_DETERMINISTIC, "reversed", "1", create, score,
                                   nullptr, nullptr};

} // namespace

const hone_reward_plugin *hone_reward_entry() { return &plugin; }
